package catalogue

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// readAll reads a whole file and keeps entries and bad rows apart.
func readAll(t *testing.T, in io.Reader) (entries []Entry, bad []BadRow) {
	t.Helper()
	r, err := NewReader(in, "")
	if err != nil {
		t.Fatal(err)
	}
	for {
		e, err := r.Next()
		var row *BadRow
		switch {
		case errors.Is(err, io.EOF):
			return entries, bad
		case errors.As(err, &row):
			bad = append(bad, *row)
		case err != nil:
			t.Fatal(err)
		default:
			entries = append(entries, e)
		}
	}
}

const header = "book_id,isbn,authors,original_publication_year,title,language_code,average_rating,ratings_count\n"

func TestReaderReportsBadRowsWithTheirLineAndGoesOn(t *testing.T) {
	t.Parallel()
	file := header +
		"1,,A,2001,First,eng,,\n" +
		",,A,2001,No id,eng,,\n" + // 3
		"3,,A,2001,,eng,,\n" + // 4
		"4,,A,2001,Too many,eng,,,,x\n" + // 5
		"5,,A,2001,Bad \xff bytes,eng,,\n" + // 6
		"\n" + // 7: empty lines are nothing
		"6,,A,2001,\"Two\nlines\",eng,,\n" + // 8 and 9
		"7,,A,2001,\"Never closed,eng,,\n" + // 10
		"1,,A,2001,Again,eng,,\n" + // 11
		"8,,A,2001,Nul \x00,eng,,\n" + // 12
		"9,,A,2001,Stray\" quote,eng,,\n" + // 13
		"10,,A,2001," + strings.Repeat("x", maxRow) + ",eng,,\n" + // 14
		"12,,\", \",2001,No author,eng,,\n" + // 15
		"11,,A,2001,Last,eng,," // no line break at the end
	entries, bad := readAll(t, strings.NewReader(file))

	var titles []string
	for _, e := range entries {
		titles = append(titles, e.Title)
	}
	if want := []string{"First", "Two lines", "Last"}; !reflect.DeepEqual(titles, want) {
		t.Errorf("titles %q, want %q", titles, want)
	}
	want := []string{
		"line 3: no book_id", "line 4: no title", "line 5: 10 columns where the header has 8",
		"line 6: column 5 is not valid UTF-8", "line 10: ", "line 11: book_id \"1\" was in an earlier row",
		"line 12: column 5 contains a NUL character", "line 13: ", "line 14: row is longer than 64 KiB",
		"line 15: no author",
	}
	if len(bad) != len(want) {
		t.Fatalf("bad rows %v, want %d", bad, len(want))
	}
	for i := range bad {
		if !strings.HasPrefix(bad[i].Error(), want[i]) {
			t.Errorf("bad row %q, want it to begin with %q", bad[i].Error(), want[i])
		}
	}
	if last := entries[len(entries)-1]; last.Line != 16 {
		t.Errorf("last entry is on line %d, want 16", last.Line)
	}
}

func TestReaderFindsColumnsByName(t *testing.T) {
	t.Parallel()
	entries, bad := readAll(t, strings.NewReader("\ufefftitle,Book_ID ,extra,authors\r\nHoles,77,x,Louis Sachar\r\n"))
	want := []Entry{{Line: 2, SourceID: "77", Title: "Holes", Authors: []string{"Louis Sachar"}}}
	if len(bad) != 0 || !reflect.DeepEqual(entries, want) {
		t.Errorf("got %+v and %v, want %+v", entries, bad, want)
	}
}

func TestReaderRefusesAFileThatIsNotACatalogue(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"empty":          "",
		"no id column":   "authors,title\n",
		"no title":       "book_id,authors\n",
		"no authors":     "book_id,title\n",
		"a column twice": "book_id,title,authors,title\n",
	} {
		if _, err := NewReader(strings.NewReader(file), ""); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestReaderSendsARepeatedISBNOnlyOnce(t *testing.T) {
	t.Parallel()
	entries, _ := readAll(t, strings.NewReader(header+
		"1,0306406152,A,2001,One,eng,,\n"+
		"2,306406152,A,2001,Two,eng,,\n"+
		"3,9780306406157,A,2001,Three,eng,,\n"))
	if entries[2].ISBN != "" {
		t.Error("the same ISBN in its other form was kept")
	}
	if entries[0].ISBN != "0306406152" || entries[1].ISBN != "" {
		t.Errorf("isbns %q and %q, want the first kept and the second empty", entries[0].ISBN, entries[1].ISBN)
	}
	if got := entries[1].Mended; !reflect.DeepEqual(got, []Mend{ISBNZerosRestored, LanguageMapped, ISBNDuplicateDropped}) {
		t.Errorf("mended %q", got)
	}
}

// The figures are the file's own, counted apart from this code.
func TestRealCatalogue(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "..", "shared", "data", "goodbooks-10k.csv")
	want := map[string]int{
		"rows": 10000, "bad": 0, "no isbn in the file": 700, "no language in the file": 1084,
		"isbn kept": 10000 - 700 - 23, "isbn mended or lost zeros": 6601, "no year": 21,
	}
	if _, err := os.Stat(path); err != nil {
		path = "books.csv" // the large file is no part of the repository
		want = nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	entries, bad := readAll(t, strings.NewReader(string(raw)))
	if want == nil {
		requireOwnCatalogue(t, entries, bad)
		return
	}
	got := map[string]int{"rows": len(entries), "bad": len(bad)}
	for _, e := range entries {
		mended := map[Mend]bool{}
		for _, m := range e.Mended {
			mended[m] = true
		}
		count := func(what string, yes bool) {
			if yes {
				got[what]++
			}
		}
		count("isbn kept", e.ISBN != "")
		count("no isbn in the file", e.ISBN == "" && !mended[ISBNDropped] && !mended[ISBNDuplicateDropped])
		count("no language in the file", e.Language == "" && !mended[LanguageDropped])
		count("no year", e.PublishedYear == nil)
	}
	got["isbn mended or lost zeros"] = shortISBNs(t, string(raw))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if e := entries[0]; e.ISBN != "0439023483" || *e.PublishedYear != 2008 || e.Language != "en" {
		t.Errorf("first entry %+v", e)
	}
}

// shortISBNs counts the ISBNs that lost zeros, whether or not they check afterwards.
func shortISBNs(t *testing.T, file string) (n int) {
	t.Helper()
	rows := &rowReader{lines: lineReader{in: bufio.NewReader(strings.NewReader(file))}, sep: ','}
	for {
		fields, _, err := rows.next()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		if l := len(fields[1]); fields[1] != "isbn" && l > 0 && l < 10 {
			n++
		}
	}
}

func TestOwnCatalogueNeedsNoMending(t *testing.T) {
	t.Parallel()
	f, err := os.Open("books.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	entries, bad := readAll(t, f)
	requireOwnCatalogue(t, entries, bad)
}

func requireOwnCatalogue(t *testing.T, entries []Entry, bad []BadRow) {
	t.Helper()
	if len(entries) < 100 || len(bad) != 0 {
		t.Fatalf("%d entries, bad rows %v; want at least 100 and none", len(entries), bad)
	}
	titles := map[string]int{}
	for _, e := range entries {
		if len(e.Mended) != 0 || len(e.Authors) == 0 || e.PublishedYear == nil || e.Language == "" {
			t.Errorf("line %d: not complete as it stands: %+v", e.Line, e)
		}
		key := fmt.Sprint(e.Title, e.Authors)
		if other := titles[key]; other != 0 {
			t.Errorf("line %d: the same book as line %d", e.Line, other)
		}
		titles[key] = e.Line
	}
}
