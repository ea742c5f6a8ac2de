// Package catalogue tells what tables and columns a database has, and how each of their types
// arrives in the warehouse. Nothing here is a list that somebody must keep: it is all read from
// the database's own catalogue.
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

// Gone is the table that keeps the keys of deleted rows: part of the export, not of the data.
const Gone = "warehouse_gone"

// Changed is the column of a tracked table with the transaction of a row's last change.
const Changed = "changed_xid"

// Table is a table of a source database.
type Table struct {
	OID     uint32   `json:"oid"`
	Schema  string   `json:"schema"`
	Name    string   `json:"name"`
	As      string   `json:"as,omitempty"` // its view's name, where another's is the same to DuckDB
	Comment string   `json:"comment,omitempty"`
	Columns []Column `json:"columns"`
	Key     []string `json:"key,omitempty"`     // the primary key's columns
	Tracked bool     `json:"tracked,omitempty"` // what has changed in it can be told
	Parted  bool     `json:"parted,omitempty"`  // it is the parent of partitions, which stand for nothing by themselves

	Problem error `json:"-"` // why it must not be read
}

// Tags of a column, from its comment.
const (
	Omit = "omit" // it is left out
	Hash = "hash" // the SHA-256 of its text stands for it
)

// Column is a column of a table.
type Column struct {
	Name    string `json:"name"`
	Type    string `json:"type"` // as PostgreSQL writes it
	Duck    string `json:"duck"` // the warehouse's
	Base    string `json:"base"` // an element's type, which decides how it travels
	Dims    int    `json:"dims,omitempty"`
	NotNull bool   `json:"notNull,omitempty"`
	Tag     string `json:"tag,omitempty"`
	Comment string `json:"comment,omitempty"`
	As      string `json:"as,omitempty"`      // its name in the warehouse, where another's is the same to DuckDB
	Refused string `json:"refused,omitempty"` // why it is text, though the warehouse has such a type: what a value was refused for
}

// Exact tells whether the warehouse has a type that means the same; else the column is text there.
func (c Column) Exact() bool { return c.Base != asText }

// Doubtful tells whether there may be values of the column's type that the warehouse's has no place for.
func (c Column) Doubtful() bool {
	switch c.Base {
	case asText, "text", "varchar", "bpchar", "bool", "int2", "int4", "int8", "uuid":
		return c.Dims > 0
	}
	return c.Tag != Hash
}

// Refuse makes text of a column, in which there is what the warehouse's type has no place for.
func (c Column) Refuse(why string) Column {
	c.Base, c.Dims, c.Duck, c.Refused = asText, 0, "VARCHAR", why
	return c
}

// Here is the column's name in the warehouse.
func (c Column) Here() string {
	if c.As != "" {
		return c.As
	}
	return c.Name
}

// Same tells whether the rows of one fit the files of the other.
func (c Column) Same(o Column) bool {
	c.Comment, c.NotNull, c.Refused = o.Comment, o.NotNull, o.Refused
	return c == o
}

// View is the name of the table's view, within the schema that is named as the database is.
func (t *Table) View() string {
	switch {
	case t.As != "":
		return t.As
	case t.Schema == "public":
		return t.Name
	}
	return t.Schema + "." + t.Name
}

// Source names the table in SQL; rows of tables that inherit from it are theirs.
func (t *Table) Source() string {
	name := pgx.Identifier{t.Schema, t.Name}.Sanitize()
	if t.Parted {
		return name
	}
	return "only " + name
}

// Kept are the columns that are not left out.
func (t *Table) Kept() []Column {
	return slices.DeleteFunc(slices.Clone(t.Columns), func(c Column) bool { return c.Tag == Omit })
}

// KeyColumns are the columns of the primary key, in its order.
func (t *Table) KeyColumns() []Column {
	key := make([]Column, 0, len(t.Key))
	for _, name := range t.Key {
		at := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
		key = append(key, t.Columns[at])
	}
	return key
}

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
	return markTracked(tables), nil
}

// markTracked says which tables are tracked, now that all are known.
func markTracked(tables []Table) []Table {
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
