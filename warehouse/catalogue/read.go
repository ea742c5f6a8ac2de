package catalogue

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

const columns = `
select c.oid, n.nspname::text, c.relname::text, c.relkind = 'p', coalesce(obj_description(c.oid, 'pg_class'), ''),
       array(select k.attname::text from pg_index i
             cross join unnest(i.indkey) with ordinality as at (num, ord)
             join pg_attribute k on k.attrelid = c.oid and k.attnum = at.num
             where i.indrelid = c.oid and i.indisprimary order by at.ord),
       a.attname::text, a.atttypid, a.atttypmod, a.attndims::int, a.attnotnull,
       format_type(a.atttypid, a.atttypmod), coalesce(col_description(c.oid, a.attnum), '')
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence = 'p'
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by n.nspname, c.relname, a.attnum`

// Read lists the tables of the database that conn is connected to: ordinary and partitioned ones
// of every schema. Unlogged tables are not there on a replica.
func Read(ctx context.Context, conn *pgx.Conn) ([]Table, error) {
	types, err := readTypes(ctx, conn)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, columns)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	var tables []Table
	var t Table
	var c Column
	var typ uint32
	var typmod int32
	_, err = pgx.ForEachRow(rows, []any{
		&t.OID, &t.Schema, &t.Name, &t.Parted, &t.Comment, &t.Key,
		&c.Name, &typ, &typmod, &c.Dims, &c.NotNull, &c.Type, &c.Comment,
	}, func() error {
		var wrong error
		if c.Tag, wrong = tag(c.Comment); wrong != nil {
			wrong = fmt.Errorf("%s: %w", c.Name, wrong) // until it can be understood, nothing is let out
		}
		types.resolve(&c, typ, typmod)
		if len(tables) == 0 || tables[len(tables)-1].OID != t.OID {
			tables = append(tables, t)
		}
		last := &tables[len(tables)-1]
		last.Columns = append(last.Columns, c)
		last.Problem = cmp.Or(last.Problem, wrong)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	return settle(tables), nil
}

// settle tells which tables are tracked, now that all are known.
func settle(tables []Table) []Table {
	gone := func(t Table) bool { return t.Schema == "public" && t.Name == Gone }
	tracking := slices.ContainsFunc(tables, gone)
	tables = slices.DeleteFunc(tables, gone)
	views := taken{}
	for _, plain := range []bool{true, false} {
		for i := range tables {
			if t := &tables[i]; (t.View() == strings.ToLower(t.View())) == plain {
				t.As = views.other(t.View())
			}
		}
	}
	for i := range tables {
		t := &tables[i]
		t.name()
		t.Tracked = tracking && len(t.Key) > 0 &&
			slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Name == Changed && c.Base == "xid8" && c.Tag == "" }) &&
			!slices.ContainsFunc(t.KeyColumns(), func(c Column) bool { return c.Tag == Omit })
	}
	return tables
}

// taken are names in lower case: DuckDB takes Id and id for the same.
type taken map[string]bool

// other takes a name, and returns another one that it takes instead where that one is taken; else nothing.
func (n taken) other(name string) string {
	as := name
	for i := 2; n[strings.ToLower(as)]; i++ {
		as = fmt.Sprintf("%s_%d", name, i)
	}
	n[strings.ToLower(as)] = true
	if as == name {
		return ""
	}
	return as
}

// name gives each column a name that no other has. Those in lower case keep theirs: statements are written with them.
func (t *Table) name() {
	names := taken{".": true, ".at": true, ".last": true, ".file": true} // columns of statements here
	for _, plain := range []bool{true, false} {
		for i := range t.Columns {
			if c := &t.Columns[i]; (c.Name == strings.ToLower(c.Name)) == plain {
				c.As = names.other(c.Name)
			}
		}
	}
}

var tagged = regexp.MustCompile(`(?i)\bwarehouse:\s*([^\s.,;]*)`)

// tag reads what a comment says about the warehouse. A word that means nothing is an error: it
// was written to keep something in.
func tag(comment string) (string, error) {
	found := tagged.FindStringSubmatch(comment)
	if found == nil {
		return "", nil
	}
	switch word := strings.ToLower(found[1]); word {
	case Omit, Hash:
		return word, nil
	default:
		return "", fmt.Errorf("the comment says warehouse: %q, which is neither %s nor %s", word, Omit, Hash)
	}
}
