package report_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Wide letters, combined ones, null and what a terminal would obey.
//
//nolint:gosmopolitan // wide letters are what it is about
func TestTablesAreAligned(t *testing.T) {
	t.Parallel()
	dir := publish(t, t.TempDir(), run, shop)
	got := output(t, dir, "", "sql", `from (values ('吾輩', 1.5, [1]), ('e' || chr(769) || chr(10) || '👨‍👩‍👧', null, null),
		(chr(27) || '[2J', -10, [2, 3])) as v (text, number, list)`)
	want := `
text  number  list
────  ──────  ──────
吾輩     1.5  [1]
é␊👨‍👩‍👧       ∅  ∅
␛[2J   -10.0  [2, 3]
(3 rows)
`
	if got != strings.TrimPrefix(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := output(t, dir, "", "sql", "select 1 as a, 2 as a"); !strings.HasSuffix(got, "1    2\n(1 row)\n") {
		t.Errorf("two columns of one name:\n%s", got)
	}
	many := output(t, dir, "", "sql", "select case when i = 2000 then 'a long one' else 'x' end as s, i from range(3000) as r (i)")
	if strings.Count(many, "\n") != 3003 || !strings.Contains(many, "a long one  2000\n") {
		t.Errorf("%d lines", strings.Count(many, "\n"))
	}
}

// A page needs nothing from elsewhere, and what the shop's people wrote is not markup.
func TestPages(t *testing.T) {
	t.Parallel()
	nasty := "\nupdate books set title = '<script>alert(1)</script> and a title that is much too long to stand beside a bar' where id = 1;"
	dir := publish(t, t.TempDir(), run, shop+nasty)
	out := filepath.Join(t.TempDir(), "page.html")
	output(t, dir, "", "report", "best-sellers", "--out", out) // its name says that it is html
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"<h1>Which books are sold most?</h1>", "2026-10-24 00:00 to 2026-11-23 06:15 (UTC), in run " + run,
		"<svg", "<title>Good Omens: 2</title>", `<td class="n">2700</td>`, "&lt;script&gt;alert(1)&lt;/script&gt; and a t…</text>",
		"prefers-color-scheme: dark",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if found := regexp.MustCompile(`<script|https?:|src=|href=|@import|url\(|NaN`).FindAllString(string(text), -1); found != nil {
		t.Errorf("found %q", found)
	}
	many := output(t, dir, "", "sql", "--format", "html", "from range(6000)")
	if strings.Count(many, "<tr><td") != 5000 || !strings.Contains(many, "only the first 5000 of 6000 rows") {
		t.Error("a page should hold 5000 rows")
	}
	days := output(t, dir, "", "report", "sales-by-day", "--format", "html")
	if strings.Count(days, "<svg") != 2 || strings.Count(days, "<rect") != 16 {
		t.Error("each currency should have a chart of its own")
	}
	if own := output(t, dir, "", "sql", "--format", "html", "select null as none"); strings.Contains(own, "<svg") || !strings.Contains(own, "∅") {
		t.Errorf("got %s", own)
	}
}

// Charts name columns that their reports have.
func TestChartsAreOfTheirReports(t *testing.T) {
	t.Parallel()
	dir := publish(t, t.TempDir(), run, shop)
	files, err := filepath.Glob("../reports/*.sql")
	if err != nil || len(files) < 11 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".sql")
		text, err := os.ReadFile(file)
		chart := regexp.MustCompile(`(?m)^-- chart: \w+ (.*)$`).FindStringSubmatch(string(text))
		if err != nil || (chart == nil) != (name == "prelude") {
			t.Fatal(name, chart, err)
		}
		if name == "prelude" {
			continue
		}
		head, _, _ := strings.Cut(output(t, dir, "", "report", name, "--format", "csv"), "\n")
		for _, column := range regexp.MustCompile(`[a-z_]+`).FindAllString(strings.ReplaceAll(chart[1], " by ", " "), -1) {
			if !strings.Contains(","+head+",", ","+column+",") {
				t.Errorf("%s: there is no column %s in %s", name, column, head)
			}
		}
	}
}

// Parquet and JSON carry numbers as they are, and a file that cannot be finished is not there.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir, out := publish(t, t.TempDir(), run, shop), t.TempDir()
	file := filepath.Join(dir, "files", "answer.parquet") // where a session may read
	output(t, dir, "", "report", "best-sellers", "--out", file)
	got := output(t, dir, "", "sql", "--format", "csv", "select title, net, typeof(copies) from '"+file+"' limit 1")
	if want := "title,net,typeof(copies)\nWar and Peace,30.0000,BIGINT\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := output(t, dir, "", "report", "best-sellers", "--format", "json", "--limit", "1"); !strings.Contains(got, `"net":30.00`) {
		t.Errorf("got %s", got)
	}
	refused(t, dir, "", "sql", "--out", filepath.Join(out, "a.csv"), "select error('no')")
	if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestDictionary(t *testing.T) {
	t.Parallel()
	dir := publish(t, t.TempDir(), run, shop)
	got := output(t, dir, "", "dictionary")
	want := "## bookdb.books\nWhat is sold. 6 rows\n\n| column | type | in PostgreSQL | about |\n|---|---|---|---|\n" +
		"| id | BIGINT | bigint | key |\n| title | VARCHAR | text | as it is \\| printed |\n\n## paymentdb.payments\n1 row\n\n" +
		"| column | type | in PostgreSQL | about |\n|---|---|---|---|\n" +
		"| body | – | bytea | may be null; left out |\n| token | VARCHAR | text | may be null; its SHA-256 |\n"
	if !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, markup := range []string{"<img", "[click](", "`run`", "\x1b"} {
		if strings.Contains(got, markup) {
			t.Errorf("%q of a comment is markup:\n%s", markup, got)
		}
	}
	if page := output(t, dir, "", "dictionary", "--format", "html"); !strings.Contains(page, "<h2>bookdb.books</h2><p>What is sold. 6 rows</p>") {
		t.Errorf("got %s", page)
	}
}
