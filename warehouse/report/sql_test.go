package report_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bookstore/warehouse/report"
)

func TestStatements(t *testing.T) {
	t.Parallel()
	dir := publish(t, t.TempDir(), run, shop)
	tests := map[string]struct{ input, want string }{
		"up to semicolons, over lines": {"select 1 as a; select\n2 as a;", "a\n1\na\n2\n"},
		"which quotes and comments may have": {
			"-- one; two\nselect 'a;''b' as \"c;d\" /* ; */ -- ;\n; select $x$;$x$ as e;;", "\"c;d\"\n\"a;'b\"\ne\n\";\"\n",
		},
		"the last needs none":  {"from (values (1)) as v (a) -- of one", "a\n1\n"},
		"variables":            {"set variable x = 3; select getvariable('x') as x", "x\n3\n"},
		"all kinds of queries": {"with a as (select 1 as b) from a; values (2); (select 3 as c);", "b\n1\ncol0\n2\nc\n3\n"},
		"views over the files": {"select count(*) as n from bookdb.books", "n\n6\n"},
		"the version's own":    {"select count(*) as n from warehouse.columns", "n\n5\n"},
		"nothing":              {" ; -- nothing", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := output(t, dir, test.input, "sql", "--format", "csv"); got != test.want {
				t.Errorf("from its input: got %q, want %q", got, test.want)
			}
			if got := output(t, dir, "", "sql", "--format", "csv", "--", test.input); test.want != "" && got != test.want {
				t.Errorf("from its argument: got %q, want %q", got, test.want)
			}
		})
	}
	if plan := output(t, dir, "", "sql", "explain select title from bookdb.books"); !strings.Contains(plan, "PARQUET") {
		t.Errorf("the plan is %s", plan)
	}
}

// A statement that fails is said and left behind; what has not ended when the shell does is not run.
func TestShell(t *testing.T) {
	t.Parallel()
	dir := publish(t, t.TempDir(), run, shop)
	var out, errs bytes.Buffer
	err := report.Shell(t.Context(), dir, strings.NewReader("select 1\n as a; select nothing;\nselect 2 as b;\n select 3 as c\n\\q\nselect 4;"), &out, &errs)
	if want := "a\n─\n1\n(1 row)\nb\n─\n2\n(1 row)\n"; err != nil || out.String() != want {
		t.Errorf("got %q, %v", &out, err)
	}
	if said := errs.String(); !strings.HasPrefix(said, "warehouse>       ...> ") || !strings.Contains(said, `"nothing" was not found`) {
		t.Errorf("it said %s", said)
	}
}

// prompted ends a context once a prompt is written.
type prompted struct{ stop func() }

func (p prompted) Write(b []byte) (int, error) {
	p.stop()
	return len(b), nil
}

// A shell at a terminal from which nothing comes ends when it is interrupted.
func TestAShellIsInterrupted(t *testing.T) {
	t.Parallel()
	dir := publish(t, t.TempDir(), run, shop)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	in, keyboard, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close()
	if err := report.Shell(ctx, dir, in, io.Discard, prompted{stop}); err != nil {
		t.Error(err)
	}
}

// Whatever the statement, nothing is written and nothing else is read.
func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	dir := publish(t, t.TempDir(), run, shop)
	file := filepath.Join(dir, "files", "mine.csv")
	for _, statement := range []string{
		"copy (select 1) to '" + file + "'",
		"explain analyze copy (select 1) to '" + file + "'",
		"select 1) to '" + file + "'; copy (select 1",
		"select e'\\''; copy (select 1) to '" + file + "' --'",
		"set variable x = 1; copy (select 1) to '" + file + "'",
		"create table bookdb.mine as select 1", "insert into bookdb.books select * from bookdb.books", "drop view bookdb.books",
		"delete from bookdb.books", "attach '" + file + "' as mine", "export database '" + file + "'", "set lock_configuration = false",
		"install httpfs", "pragma enable_profiling", "select * from read_text('/etc/hostname')", "select 'a", "/* a",
		"select * from bookdb.boks",
	} {
		refused(t, dir, "", "sql", statement)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was written")
	}
	if got := refused(t, dir, "", "sql", "vacuum"); !strings.Contains(got, "only read") {
		t.Errorf("got %s", got)
	}
}
