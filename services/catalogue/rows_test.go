package catalogue

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

// account is what became of a file: each entry as "line id", each bad row as "line bad".
func account(t *testing.T, file string) (got []string, bad []BadRow) {
	t.Helper()
	entries, bad := readAll(t, strings.NewReader(file))
	lines := map[int]string{}
	for _, e := range entries {
		lines[e.Line] = e.SourceID
	}
	for _, b := range bad {
		lines[b.Line] = "bad"
	}
	for line := range 1000 {
		if what, ok := lines[line]; ok {
			got = append(got, fmt.Sprint(line, " ", what))
		}
	}
	return got, bad
}

// A stray quote costs its own line and no other, wherever it happens to be closed.
func TestAStrayQuoteCostsItsLine(t *testing.T) {
	t.Parallel()
	const narrow = "book_id,title,authors\n"
	many := strings.Repeat("x,,A,2001,T,eng,,\n", 5000)
	for name, c := range map[string]struct{ file, want string }{
		"closed by another stray quote": {header + "1,,A,2001,\"Unclosed,eng,,\n2,,B,2002,Fine,eng,,\n3,,C,2003,5\",eng,,\n4,,D,2004,Fine,eng,,\n", "2 bad|3 2|4 bad|5 4"},
		"closed by the next line":       {header + "1,,A,2001,\"Unclosed,eng,,\n3,,C,2003,5\",eng,,\n4,,D,2004,Fine,eng,,\n", "2 bad|3 bad|4 4"},
		"closed by half a row":          {header + "1,,A,2001,\"Unclosed,eng,,\n2,,B,2002,Fine,eng,,\nrest\",eng,,\n4,,D,2004,Fine,eng,,\n", "2 bad|3 2|4 bad|5 4"},
		"not closed":                    {header + "1,,A,2001,\"Unclosed,eng,,\n2,,B,2002,Fine,eng,,", "2 bad|3 2"},
		"at the end":                    {header + "1,,A,2001,Fine,eng,,\n2,,B,2002,\"Unclosed", "2 1|3 bad"},
		"met by a quoted row":           {header + "1,,A,2001,\"Unclosed,eng,,\n2,,\"B, C\",2002,\"Fine\",eng,,\n3,,C,2003,Fine,eng,,\n", "2 bad|3 2|4 3"},
		"met by text of two lines":      {header + "1,,A,2001,\"Unclosed,eng,,\n2,,B,2002,\"Two\nlines\",eng,,\n3,,C,2003,Fine,eng,,\n", "2 bad|3 2|5 3"},
		"in short rows":                 {header + "1,,A,2001,\"Unclosed\n2,,B,2002,Fine\n3,,C,2003,5\",eng\n", "2 bad|3 2|4 bad"},
		"before the id":                 {header + "\"1,,A,2001,Unclosed,eng,,\n2,,B,2002,Fine,eng,,\n", "2 bad|3 2"},
		"inside a field":                {header + "1,,A,2001,Half \" open,eng,,\n2,,B,2002,Fine,eng,,\n", "2 bad|3 2"},
		"in a narrow file":              {narrow + "1,\"Unclosed,A\n2,Fine,B\n3,5\",C\n4,Fine,D\n", "2 bad|3 2|4 bad|5 4"},
		"over a row of too many cells":  {header + "1,,\"C,2001,Unclosed,eng,,\n2,,,B,2002,Wide,eng,,\n3,,Ann, Bea\",2003,5,eng,,\n4,,D,2004,Fine,eng,,\n", "2 bad|3 bad|4 bad|5 4"},
		"closed by one of too many":     {header + "1,,\"C,2001,Unclosed,eng,,\n2,,Ann, Bea\",2002,5,eng,,\n3,,C,2003,Fine,eng,,\n", "2 bad|3 bad|4 3"},
		"behind a blank":                {narrow + "1, \"Unclosed,A\n2,Fine,B\n3,5\",C\n4,Fine,D\n", "2 bad|3 2|4 bad|5 4"},
		"before a blank":                {narrow + "1,\"Un\" closed,A\n2,Fine,B\n", "2 bad|3 2"},
		"twice":                         {narrow + "1,\"Unclosed,A\n2,\"Unclosed,B\n3,Fine,C\n", "2 bad|3 bad|4 3"},
		"doubled":                       {narrow + "1,\"Unclosed \"\"so\"\",A\n2,Fine,B\n", "2 bad|3 2"},
	} {
		got, _ := account(t, c.file)
		if text := strings.Join(got, "|"); text != c.want {
			t.Errorf("%s: %s, want %s", name, text, c.want)
		}
	}
	entries, bad := readAll(t, strings.NewReader(header+"1,,A,2001,\"Unclosed,eng,,\n"+numbered(many)))
	if len(entries) != 5000 || len(bad) != 1 || bad[0].Line != 2 {
		t.Errorf("in a large file: %d entries, bad %v", len(entries), bad)
	}
}

// numbered gives each row that begins with x an id of its own.
func numbered(rows string) string {
	n := 0
	var b strings.Builder
	for line := range strings.Lines(rows) {
		n++
		b.WriteString(strings.Replace(line, "x", fmt.Sprint("n", n), 1))
	}
	return b.String()
}

// Text may have as many lines as it likes, with commas and quotes in them.
func TestQuotedFieldsMayHaveLines(t *testing.T) {
	t.Parallel()
	file := "book_id,title,authors\n" +
		"1,\"One\ntwo, three\n\nfour\",A\n" + // 2 to 5
		"2,\"Berlin, Paris,\nRome, Oslo, and a \"\"city\"\"\",B\n" + // 6 and 7
		"3,\"With\rCR\r\nand CR LF\",C\r\n" + // 8 to 10
		"4,\"Oslo,\none, two, three, four, and 1,000 more\",D\n" + // 11 and 12
		"5,Last,E" // 13
	got, bad := account(t, file)
	if want := "2 1|6 2|8 3|11 4|13 5"; strings.Join(got, "|") != want {
		t.Errorf("got %v, want %s: %v", got, want, bad)
	}
}

// Blanks may stand around quotes, as in files that people write.
func TestQuotesMayHaveBlanksAround(t *testing.T) {
	t.Parallel()
	entries, bad := readAll(t, strings.NewReader("book_id, \"title\" , authors\n"+
		"1, \"Eat, Pray, \"\"Love\"\"\" , \"Ann, Bea\"\n2 ,\"\", A\n3,  \"Third\"\t,\"C\" \n"))
	if len(entries) != 2 || entries[0].Title != `Eat, Pray, "Love"` || len(entries[0].Authors) != 2 || entries[1].Title != "Third" {
		t.Errorf("got %+v", entries)
	}
	if len(bad) != 1 || bad[0].Line != 3 || bad[0].Reason != "no title" {
		t.Errorf("bad %v", bad)
	}
	tabs, _ := readAll(t, strings.NewReader("book_id\ttitle\tauthors\n1\t \"Tab\tin it\"\tA\n"))
	if len(tabs) != 1 || tabs[0].Title != "Tab in it" {
		t.Errorf("tabs: got %+v", tabs)
	}
}

// Lines are what editors show; all three line breaks may occur in one file.
func TestLineBreaksOfAllKinds(t *testing.T) {
	t.Parallel()
	file := "book_id,title,authors\r1,Mac,A\r2,Mac again,B\r\n3,Windows,C\n4,Unix,D\n\r\n\r5,After blank lines,E\r6,U+2028\u2028is text\f,F\r\r\n7,End,G\r"
	got, bad := account(t, file)
	if want := "2 1|3 2|4 3|5 4|8 5|9 6|11 7"; strings.Join(got, "|") != want || len(bad) != 0 {
		t.Errorf("got %v, want %s: %v", got, want, bad)
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	const file = "book_id,title,authors\n1,Émile \u66f8\u7c4d 😀,Zoë\n2,Plain,B\n"
	little, big := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	le, _ := little.NewEncoder().String(file)
	be, _ := big.NewEncoder().String(file)
	for name, raw := range map[string]string{
		"UTF-8": file, "UTF-8 with a mark": "\ufeff" + file, "UTF-16 LE": le, "UTF-16 BE": be,
		"UTF-16 LE with a mark": "\xff\xfe" + le, "UTF-16 BE with a mark": "\xfe\xff" + be,
	} {
		entries, bad := readAll(t, strings.NewReader(raw))
		if len(bad) != 0 || len(entries) != 2 || entries[0].Title != "Émile \u66f8\u7c4d 😀" || entries[0].Authors[0] != "Zoë" || entries[1].Line != 3 {
			t.Errorf("%s: %+v, bad %v", name, entries, bad)
		}
	}
	// What comes behind the header has no NUL bytes, and a byte that is a line end in ASCII.
	dense := "\n\nbook_id,title,authors\n" + strings.Repeat("1,\u4e0a\u5b57"+strings.Repeat("\u66f8\u7c4d", 100)+",\u4e0a\n", 2)
	for _, form := range []*encoding.Encoder{little.NewEncoder(), big.NewEncoder()} {
		raw, _ := form.String(dense)
		if entries, bad := readAll(t, strings.NewReader(raw)); len(entries) != 1 || len(bad) != 1 || bad[0].Line != 5 {
			t.Errorf("%d entries, bad %v", len(entries), bad)
		}
	}
	unsure, _ := little.NewEncoder().String(strings.Repeat("\u66f8", 90) + ",book_id,title,authors\n1,1,T,A\n")
	if _, err := NewReader(strings.NewReader(unsure), ""); err == nil || !strings.Contains(err.Error(), "-encoding utf-16le") {
		t.Errorf("not sure that it is UTF-16: %v", err)
	}
	damaged := strings.Replace(le, "P\x00l\x00", "\x00\xd8l\x00", 1) // half a surrogate pair
	if entries, bad := readAll(t, strings.NewReader(damaged)); len(entries) != 1 || len(bad) != 1 || bad[0].Line != 3 {
		t.Errorf("damaged: %+v, bad %v", entries, bad)
	}
	if _, err := NewReader(strings.NewReader("\xff\xfe\x00\x00b\x00\x00\x00"), ""); err == nil || !strings.Contains(err.Error(), "UTF-32") {
		t.Errorf("UTF-32: %v", err)
	}
	latin, _ := charmap.Windows1252.NewEncoder().String("book_id,title,authors\n1,Émile,Zoë\n2,Plain,B\n")
	if entries, bad := readAll(t, strings.NewReader(latin)); len(entries) != 1 || len(bad) != 1 || !strings.Contains(bad[0].Reason, "-encoding windows-1252") {
		t.Errorf("not named: %+v, bad %v", entries, bad)
	}
	r, err := NewReader(strings.NewReader(latin), "Windows-1252")
	if err != nil {
		t.Fatal(err)
	}
	if e, err := r.Next(); err != nil || e.Title != "Émile" || e.Authors[0] != "Zoë" {
		t.Errorf("named: %+v, %v", e, err)
	}
	if _, err := NewReader(strings.NewReader(file), "klingon"); err == nil {
		t.Error("an encoding that is not there was taken")
	}
}

func TestHeadersAsPeopleHaveThem(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"unnamed columns":    "book_id,title,authors,,\n7,T,\"A, B\",,\n",
		"case and blanks":    " Book ID ,TITLE,Authors\n7,T,\"A, B\"\n",
		"hyphens":            "book-id,Title,AUTHORS\n7,T,\"A, B\"\n",
		"unused ones twice":  "book_id,note,title,authors,note\n7,x,T,\"A, B\",y\n",
		"quoted":             "\"book_id\",\"title\",\"authors\"\n7,T,\"A, B\"\n",
		"semicolons":         "book_id;title;authors\n7;T;A, B\n",
		"tabs":               "book_id\ttitle\tauthors\n7\tT\tA, B\n",
		"separator said":     "sep=|\nbook_id|title|authors\n7|T|A, B\n",
		"blank lines before": "\n \r\nbook_id,title,authors\n7,T,\"A, B\"\n",
		"cells left out":     "book_id,title,authors,isbn,language_code\n7,T,\"A, B\"\n",
		"empty cells more":   "book_id,title,authors\n7,T,\"A, B\",, ,\n",
	} {
		entries, bad := readAll(t, strings.NewReader(file))
		if len(bad) != 0 || len(entries) != 1 || entries[0].SourceID != "7" || entries[0].Title != "T" || !reflect.DeepEqual(entries[0].Authors, []string{"A", "B"}) {
			t.Errorf("%s: %+v, bad %v", name, entries, bad)
		}
	}
}

func TestRowsThatNameNoBook(t *testing.T) {
	t.Parallel()
	const narrow = "book_id,title,authors,note\n"
	for row, reason := range map[string]string{
		"1,\u200b,A":                             "no title that can be seen: \"\\u200b\"",
		"1,\u3164\ufe0f,A":                       "no title that can be seen",
		"1,T,\u200b":                             "no author",
		"in\x1b[2J,T,A":                          `book_id "in\x1b[2J" has characters that nobody can see`,
		"1,T,A,x,y":                              "5 columns where the header has 4; the last is \"y\"",
		"Book ID,Title,Authors,Note":             "the header again",
		strings.Repeat("é", 201) + ",T,A":        "book_id is longer than 200 characters",
		"1,\"T\" x,A":                            "text after a closing quote",
		"1,T,A,\"" + strings.Repeat("x", maxRow): "row is longer than 64 KiB",
	} {
		entries, bad := readAll(t, strings.NewReader(narrow+row+"\nlast,T,A\n"))
		if len(bad) != 1 || bad[0].Line != 2 || !strings.HasPrefix(bad[0].Reason, reason) || len(entries) != 1 || entries[0].SourceID != "last" {
			t.Errorf("%.40q: %v, %d entries", row, bad, len(entries))
		}
	}
	// What is not read may hold anything.
	if entries, bad := readAll(t, strings.NewReader(narrow+"1,T,A,\xff\x00\n")); len(entries) != 1 || len(bad) != 0 {
		t.Errorf("%v, bad %v", entries, bad)
	}
}

func TestManyAuthors(t *testing.T) {
	t.Parallel()
	authors := func(n int) string {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprint("Contributor ", i)
		}
		return "book_id,title,authors\n1,T,\"" + strings.Join(names, ", ") + "\"\n"
	}
	for n, want := range map[int]int{51: 51, 400: 400, 1000: 1000, 1001: 1000, 1500: 1000} {
		entries, bad := readAll(t, strings.NewReader(authors(n)))
		if len(bad) != 0 || len(entries[0].Authors) != want || entries[0].LeftOut != n-want || (len(entries[0].Mended) == 1) != (n > 1000) {
			t.Errorf("%d authors: %v, bad %v", n, entries, bad)
		}
	}
}
