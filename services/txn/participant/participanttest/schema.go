// Package participanttest holds the database of a service to what package
// participant needs there.
package participanttest

import (
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/participant"
)

// The tables of the two modes, and the migrations that make them.
var tables = map[string]string{"branch_markers": participant.BranchSchema, "step_markers": participant.StepSchema}

// RequireSchema fails unless the service's migrations make these tables as the
// package's own do: columns, constraints, indexes, triggers, and settings.
func RequireSchema(t *testing.T, service fs.FS, names ...string) {
	t.Helper()
	for _, table := range names {
		want := describe(t, fstest.MapFS{"00001_markers.sql": {Data: []byte(tables[table])}}, table)
		got := describe(t, service, table)
		if len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s is\n%q\nand should be\n%q", table, got, want)
		}
	}
}

// definition lists what a table consists of, sorted: migrations may add columns
// in any sequence.
const definition = `
select format('column %I %s not null %s default %s', attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid))
from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
where attrelid = $1::text::regclass and attnum > 0 and not attisdropped
union all select pg_get_constraintdef(oid) from pg_constraint where conrelid = $1::text::regclass
union all select pg_get_indexdef(indexrelid) from pg_index where indrelid = $1::text::regclass
union all select pg_get_triggerdef(oid) from pg_trigger where tgrelid = $1::text::regclass and not tgisinternal
union all select unnest(reloptions) from pg_class where oid = $1::text::regclass
order by 1`

func describe(t *testing.T, migrations fs.FS, table string) []string {
	t.Helper()
	rows, err := pgtest.Database(t, migrations).Query(t.Context(), definition, table)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(fmt.Errorf("describe %s: %w", table, err))
	}
	return parts
}
