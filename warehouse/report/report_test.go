package report_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bookstore/warehouse/report"
)

func TestVersions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, args := range [][]string{{"report", "best-sellers"}, {"sql", "select 1", "--as-of", "2026-11-23"}, {"dictionary"}} {
		if got := refused(t, dir, "", args...); !strings.Contains(got, `"go tool task warehouse:run" makes one`) {
			t.Errorf("%q: %s", args, got)
		}
	}
	const first = "20261122T120000.500000Z"
	publish(t, dir, first, "")
	publish(t, dir, run, shop)
	books := func(asOf ...string) string {
		return strings.TrimPrefix(output(t, dir, "", append([]string{"sql", "select count(*) as n from bookdb.books", "--format", "csv"}, asOf...)...), "n\n")
	}
	for asOf, want := range map[string]string{
		first: "0\n", "2026-11-22": "0\n", "2026-11-23T06:14:59Z": "0\n", "2026-11-23T07:14:00+01:00": "0\n",
		run: "6\n", "2026-11-23T06:15:00Z": "6\n", "2026-11-24": "6\n",
	} {
		if got := books("--as-of", asOf); got != want {
			t.Errorf("as of %s there are %s books, not %s", asOf, got, want)
		}
	}
	if got := books(); got != "6\n" {
		t.Errorf("now there are %s books", got)
	}
	for asOf, want := range map[string]string{"2026-11-21": "the oldest is " + first, "yesterday": "neither a run, like"} {
		if got := refused(t, dir, "", "sql", "select 1", "--as-of", asOf); !strings.Contains(got, want) {
			t.Errorf("as of %s: %s", asOf, got)
		}
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	dir := publish(t, t.TempDir(), run, shop)
	for args, want := range map[string]string{
		"":                                 "usage:",
		"report":                           "usage:",
		"report a b":                       "usage:",
		"report --sinc 3d best-sellers":    "usage:",
		"report bestseller":                "near it are best-sellers, ",
		"report sale-by-days":              "near it are sales-by-day, ",
		"report best-sellers --format xls": "none of table, csv",
		"dictionary --format csv":          "none of markdown, html",
		"report best-sellers --since 3x":   "the time asked for (3x",
		"report best-sellers --zone Mars":  "Mars",
		"report best-sellers --limit -1":   "usage:",
		"report best-sellers --limit 1e3":  "usage:",
	} {
		if got := refused(t, dir, "", strings.Fields(args)...); !strings.Contains(got, want) {
			t.Errorf("%q: %q does not say %q", args, got, want)
		}
	}
}

// An answer from a version that lacks something says so, in whatever format.
func TestWhatAVersionLacksIsSaid(t *testing.T) {
	t.Parallel()
	dir := publish(t, t.TempDir(), run, shop)
	manifest := filepath.Join(dir, "versions", run, "manifest.json")
	const lacks = `{"missing": [{"database": "orderdb", "table": "orders", "run": "20261122T120000.500000Z", "why": "no"}, {"database": "bookdb", "table": "stock", "why": "no"}]}`
	if err := os.WriteFile(manifest, []byte(lacks), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"table", "html", "csv", "json"} {
		var out, errs bytes.Buffer
		if err := report.Main(t.Context(), []string{"report", "sales-by-day", "--format", format}, dir, strings.NewReader(""), &out, &errs); err != nil {
			t.Fatal(err)
		}
		const old, none = "orderdb.orders is as it was in run 20261122T120000.500000Z", "bookdb.stock is missing"
		if said := errs.String(); !strings.Contains(said, "warning: "+old+", it could not be read: no\n") || !strings.Contains(said, none) {
			t.Errorf("%s: it warns %q", format, said)
		}
		if read := out.String(); (format == "table" || format == "html") != (strings.Contains(read, old) && strings.Contains(read, none)) {
			t.Errorf("%s: it says %s", format, read)
		}
	}
}
