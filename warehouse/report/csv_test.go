package report_test

import (
	"encoding/csv"
	"fmt"
	"strings"
	"testing"
)

// What a spreadsheet would run is text there, however it begins; what is no text is as it is.
//
//nolint:gosmopolitan // letters of all widths are what it is about
func TestASpreadsheetRunsNothing(t *testing.T) {
	t.Parallel()
	dir := publish(t, t.TempDir(), run, shop)
	for text, want := range map[string]string{
		`=1+1`: `'=1+1`, `+49`: `'+49`, `-5`: `'-5`, `@SUM(A1)`: `'@SUM(A1)`, "\t=1": "'\t=1", "\rx": "'\rx", "\nx": "'\nx",
		` =1`: `' =1`, `"=1`: `'"=1`, `'=1`: `''=1`, `“=1`: `'“=1`, "\u00a0-1": "'\u00a0-1", "\ufeff=1": "'\ufeff=1", "\u200b@x": "'\u200b@x",
		"\u3000＝1": "'\u3000＝1", `＝1`: `'＝1`, `＋1`: `'＋1`, `－1`: `'－1`, `＠x`: `'＠x`, `−1`: `'−1`, "\x1b=1": "'\x1b=1",
		`x;=1`: `x;'=1`, "x\t=1": "x\t'=1", "x\n@y": "x\n'@y", `";=1;"`: `";'=1;"`,
		``: ``, `War and Peace`: `War and Peace`, `a=b`: `a=b`, `Catch-22`: `Catch-22`, `— well`: `— well`, `50 + 1`: `50 + 1`, `吾輩`: `吾輩`, `x; y`: `x; y`,
	} {
		quoted := strings.ReplaceAll(text, "'", "''")
		got := output(t, dir, "", "sql", "--format", "csv", "select '"+quoted+"' as a, null as b, '"+quoted+"' as c")
		rows, err := csv.NewReader(strings.NewReader(strings.ReplaceAll(got, "\r", "\\r"))).ReadAll() // a reader makes line ends the same
		want = strings.ReplaceAll(want, "\r", "\\r")
		if err != nil || len(rows) != 2 || rows[1][0] != want || rows[1][1] != "" || rows[1][2] != want {
			t.Errorf("%q is %q, not %q: %v", text, got, want, err)
		}
		if strings.ContainsAny(text, ";\t\r\n") && !strings.Contains(got, `"`) {
			t.Errorf("%q is not in quotes, and where a semicolon or a tab ends a cell it is two", text)
		}
	}
	got := output(t, dir, "", "sql", "--format", "csv", `select -5 as "=a", -1.50::decimal(9,2) as b, -2e0 as c, ['=x'] as d, date '2026-01-02' as e, '' as f,
		{'=k': '=v'} as g, '-1'::json as h, '=x'::enum ('=x') as i, interval '-1 day' as j, true as k, '=b'::blob as l, -170141183460469231731687303715884105727 as m`)
	want := "'=a,b,c,d,e,f,g,h,i,j,k,l,m\n-5,-1.50,-2.0,['=x'],2026-01-02,\"\",{'=k': '=v'},'-1,'=x,-1 day,true,'=b,-170141183460469231731687303715884105727\n"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Titles and customers of a report are texts too; the amount that somebody is owed stays a number.
func TestReportsHaveNoFormulas(t *testing.T) {
	t.Parallel()
	dir := publish(t, t.TempDir(), run, shop+`
		update books set title = '=cmd|''/c calc''!A0' where id = 1;
		update orders set customer_id = '+bob' where customer_id = 'bob';
		insert into payments values (o(160), o(60), 100, 'EUR', 'refunded', '2026-11-19');
		insert into ledger_entries values (9000, o(160), 'merchant', -300, 'refund');
		insert into orders values (o(60), 'x', 'returned', 100, 'EUR', '2026-11-19');`)
	for report, want := range map[string]string{
		"best-sellers": "1,'=cmd|'/c calc'!A0,Leo Tolstoy,", "customers-by-value": "\n'+bob,JPY,", "revenue-and-payments": "2026-11-19,EUR,0,0.00,0.00,3.00,-3.00,1\n",
	} {
		if got := output(t, dir, "", "report", report, "--format", "csv"); !strings.Contains(got, want) {
			t.Errorf("%s has no %q:\n%s", report, want, got)
		}
	}
}

// Excel takes a file for UTF-8 by its first three bytes.
func TestBOM(t *testing.T) {
	t.Parallel()
	dir := publish(t, t.TempDir(), run, shop)
	if got := output(t, dir, "", "sql", "--format", "csv", "--bom", "select 1 as a; select 2 as a"); got != "\xef\xbb\xbfa\n1\na\n2\n" {
		t.Errorf("got %q", got)
	}
	for _, format := range []string{"table", "json", "html"} {
		if got := refused(t, dir, "", "report", "best-sellers", "--bom", "--format", format); !strings.Contains(got, "--bom is for --format csv") {
			t.Errorf("%s: %s", format, got)
		}
	}
}

// Whoever reads the file by RFC 4180 has every value back, but for the apostrophes.
func TestCSVIsRead(t *testing.T) {
	t.Parallel()
	dir := publish(t, t.TempDir(), run, shop)
	got := output(t, dir, "", "sql", "--format", "csv", `from (values ('a,"b"', 'c'), ('', null), (e'd\n\ne', ' f ')) as v (x, "y,z")`)
	if want := "x,\"y,z\"\n\"a,\"\"b\"\"\",c\n\"\",\n\"d\n\ne\",\" f \"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	many := output(t, dir, "", "sql", "--format", "csv", "from range(100000)")
	if n := strings.Count(many, "\n"); n != 100001 || !strings.HasSuffix(many, fmt.Sprintf("\n%d\n", 99999)) {
		t.Errorf("%d lines", n)
	}
}
