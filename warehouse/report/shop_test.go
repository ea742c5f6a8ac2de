package report_test

import (
	"bytes"
	"database/sql"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"

	"bookstore/warehouse/report"
)

const run = "20261123T061500.000000Z"

var (
	//go:embed testdata/tables.sql
	tables string
	//go:embed testdata/shop.sql
	shop string
)

// publish makes a version as runs make it: views over Parquet files in the same directory.
func publish(t *testing.T, dir, run, content string) string {
	t.Helper()
	version := filepath.Join(dir, "versions", run)
	files := filepath.Join(dir, "files")
	for _, path := range []string{version, files} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(version, "manifest.json"), []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	statements := "set TimeZone = 'UTC';\n" + tables + content
	var views string
	for view := range strings.FieldsSeq(`bookdb.books bookdb.stock_movements orderdb.orders orderdb.order_items
		paymentdb.payments paymentdb.ledger_entries coordinatordb.sagas`) {
		schema, table, _ := strings.Cut(view, ".")
		file := filepath.Join(files, view+"."+run+".parquet")
		statements += fmt.Sprintf("copy %s to '%s' (format parquet);\n", table, file)
		views += fmt.Sprintf("create schema if not exists %s;\ncreate view %s as from read_parquet('%s');\n", schema, view, file)
	}
	views += `create table warehouse.columns as from (values
    ('bookdb', 'books', 'What is sold', 2, 'title', 'VARCHAR', 'text', false, false, '', 'as it is | printed', 6),
    ('bookdb', 'books', 'What is sold', 1, 'id', 'BIGINT', 'bigint', true, false, '', '', 6),
    ('paymentdb', 'payments', '', 2, 'token', 'VARCHAR', 'text', false, true, 'hash', 'warehouse: hash', 1),
    ('zdb', 'sagas', '<img src=x> [click](javascript:1) ' || chr(96) || 'run' || chr(96) || chr(27) || '[2J', 1, 'id', 'UUID[]', 'uuid[]', true, false, '', 'x', 1),
    ('paymentdb', 'payments', '', 1, 'body', 'BLOB', 'bytea', false, true, 'omit', 'warehouse: omit', 1))
    as c ("database", "table", table_comment, position, "column", "type", source_type, "key", nullable, tag, comment, rows);`
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	views = "attach '" + filepath.Join(version, "warehouse.duckdb") + "' as warehouse; use warehouse;\n" + views + "\nuse memory; detach warehouse;"
	db.SetMaxOpenConns(1) // what is used is the connection's
	if _, err := db.ExecContext(t.Context(), statements+views); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(dir, "current"))
	if err := os.Symlink(filepath.Join("versions", run), filepath.Join(dir, "current")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// output runs a subcommand that must succeed, and returns what it wrote.
func output(t *testing.T, dir, input string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if err := report.Main(t.Context(), args, dir, strings.NewReader(input), &out, &errs); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return out.String()
}

// refused runs a subcommand that must fail.
func refused(t *testing.T, dir, input string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	err := report.Main(t.Context(), args, dir, strings.NewReader(input), &out, &errs)
	if err == nil {
		t.Fatalf("%q was done: %s", args, &out)
	}
	return err.Error()
}
