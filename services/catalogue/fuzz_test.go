package catalogue

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/unicode"

	"bookstore/services/shop/isbn"
	"bookstore/services/shop/text"
)

// mutate makes a file of good rows worse, by a program of three bytes a step: what, where, how.
func mutate(file string, program []byte) string {
	for ; len(program) >= 3; program = program[3:] {
		rows := strings.SplitAfter(file, "\n")
		i := 1 + int(program[1])%(len(rows)-1)
		row := rows[i]
		at := int(program[2]) % (len(row) + 1)
		switch program[0] % 10 {
		case 0: // a stray quote
			row = row[:at] + `"` + row[at:]
		case 1: // a doubled one
			row = row[:at] + `""` + row[at:]
		case 2: // another line break
			row = strings.TrimRight(row, "\r\n") + []string{"\r", "\r\n", "\n", "\n\n", "\r\r", "\f\n", "\u2028\n"}[at%7]
		case 3: // a line break inside
			row = row[:at] + []string{"\n", "\r", "\r\n"}[at%3] + row[at:]
		case 4: // a cell more or less
			row = strings.Replace(row, ",", []string{"", ",,"}[at%2], 1)
		case 5: // cells left out at the end
			row = strings.TrimRight(row, ",\r\n") + "\n"
		case 6: // a line break lost
			row = strings.TrimRight(row, "\r\n")
		case 7: // a byte that is no UTF-8
			row = row[:at] + "\xe9" + row[at:]
		case 8: // text of two lines
			row = strings.Replace(row, "Title", "\"Title\nof, two\"", 1)
		case 9: // a byte lost
			row = row[:max(0, at-1)] + row[at:]
		}
		rows[i] = row
		file = strings.Join(rows, "")
	}
	return file
}

func goodFile(n int) string {
	var b strings.Builder
	b.WriteString(header)
	for i := range n {
		fmt.Fprintf(&b, "id-%03d,,%s,2001,Title %d,eng,4.%d,7\n", i, []string{"Ann", `"Ann, Bea"`, `"C"`}[i%3], i, i%10)
	}
	return b.String()
}

var anyBreak = regexp.MustCompile("\r\n|\r|\n")

// FuzzFile: whatever happened to a file, each line of it is a row, bad and named, or text
// of a row; and no line that begins as a row was taken for another's text. Lines are counted
// apart from the code that is tested.
func FuzzFile(f *testing.F) {
	for what := range byte(10) {
		f.Add(byte(9), []byte{what, 2, 17}, byte(0))
		f.Add(byte(9), []byte{what, 2, 17, 0, 5, 23, what, 7, 9}, what)
	}
	f.Add(byte(6), []byte{0, 1, 17, 0, 3, 24}, byte(1))
	f.Add(byte(6), []byte{0, 1, 17, 8, 2, 0, 6, 4, 0}, byte(2))
	f.Fuzz(func(t *testing.T, n byte, program []byte, form byte) {
		file := mutate(goodFile(3+int(n)%40), program[:min(len(program), 60)])
		raw := file
		if form%3 > 0 { // the same in UTF-16, where what is no UTF-8 is U+FFFD already
			file = strings.ToValidUTF8(file, "\ufffd")
			e := unicode.UTF16([]unicode.Endianness{unicode.LittleEndian, unicode.BigEndian}[form%2], unicode.UseBOM)
			raw, _ = e.NewEncoder().String(file)
		}
		entries, bad := readAll(t, strings.NewReader(raw))
		what := map[int]string{}
		for _, e := range entries {
			what[e.Line] = e.SourceID
		}
		for _, b := range bad {
			if _, twice := what[b.Line]; twice {
				t.Errorf("line %d is twice in the account of %q", b.Line, file)
			}
			what[b.Line] = ""
		}
		within := "" // the row that a line without a row of its own may be text of
		for i, line := range anyBreak.Split(file, -1)[1:] {
			number := i + 2
			id, known := what[number]
			switch {
			case known:
				within = "row"
				if strings.HasPrefix(line, "id-") && id != "" && !strings.HasPrefix(line, id) {
					t.Errorf("line %d, %q, was loaded as %q", number, line, id)
				}
			case strings.TrimSpace(line) == "":
			case within == "" || isRow(line):
				t.Errorf("line %d, %q, is lost from %q", number, line, file)
			}
		}
	})
}

var rowStart = regexp.MustCompile(`^id-[0-9]{3},,[^ ]`)

// isRow tells a line of the good file that is still one.
func isRow(line string) bool {
	return rowStart.MatchString(line) && strings.Count(line, ",") >= 7 && !strings.Contains(line, `"`)
}

// FuzzReader: whatever the bytes are, reading ends, loses no sane row behind them, and
// yields only what may be sent.
func FuzzReader(f *testing.F) {
	f.Add("1,439023483,\"A, B\",2008.0,\"T, #1\",eng,4.3,7\n")
	f.Add("1,\",,,\n\"\"\"\n,,\xff\x00")
	f.Add("\x1b,,\u200b,0,\u202e,,,\r\r\n\"\",\"")
	f.Fuzz(func(t *testing.T, body string) {
		entries, bad := readAll(t, strings.NewReader(header+body+"\nlast-row,,A,2001,Last,eng,,\n"))
		for _, e := range entries {
			_, ok := isbn.Normalise(e.ISBN)
			if !text.Visible(e.Title) || !text.Visible(e.SourceID) || len(e.Authors) == 0 || (e.ISBN != "" && !ok) {
				t.Errorf("entry %+v", e)
			}
		}
		last := 1 + len(anyBreak.FindAllString(header+body+"\n", -1))
		sane := slices.ContainsFunc(entries, func(e Entry) bool { return e.SourceID == "last-row" }) ||
			slices.ContainsFunc(bad, func(b BadRow) bool { return b.Line == last && strings.Contains(b.Reason, "earlier row") })
		if !sane && !strings.ContainsRune(body, 0) {
			t.Errorf("the last row, on line %d, is lost; bad %v", last, bad)
		}
	})
}
