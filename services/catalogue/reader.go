package catalogue

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"bookstore/services/shop/limits"
	"bookstore/services/shop/text"
)

// The columns that are read, by their names without case and punctuation.
const (
	columnID       = "bookid"
	columnISBN     = "isbn"
	columnAuthors  = "authors"
	columnYear     = "originalpublicationyear"
	columnTitle    = "title"
	columnLanguage = "languagecode"
)

// required are the columns without which the shop takes no book, as people write them.
var required = []string{"book_id", "title", "authors"}

// Reader yields the entries of one file, one row in memory at a time. It keeps eight
// bytes per ISBN and id, to recognise repeated ones.
type Reader struct {
	rows    *rowReader
	columns map[string]int // where the columns are that are read
	names   []string       // of all columns, as columnName writes them
	lossy   bool
	isbns   map[uint64]struct{}
	ids     map[uint64]struct{}
}

// NewReader reads the header. Columns are found by name, in any order; case and the
// characters between words do not matter. Columns without a name or with an unknown one
// are ignored. Cells are separated by commas, semicolons or tabs, whichever makes a valid
// header. encoding names the file's when it is neither UTF-8 nor UTF-16; see decode.
func NewReader(in io.Reader, encoding string) (*Reader, error) {
	text, lossy, err := decode(in, encoding)
	if err != nil {
		return nil, err
	}
	r := &Reader{
		rows: &rowReader{lines: lineReader{in: text}, sep: ','}, columns: map[string]int{}, lossy: lossy,
		isbns: map[uint64]struct{}{}, ids: map[uint64]struct{}{},
	}
	if err := r.chooseSeparator(); err != nil {
		return nil, err
	}
	header, _, err := r.rows.next()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty: a header with book_id, title and authors is needed")
	}
	if err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	if strings.ContainsRune(strings.Join(header, ""), 0) {
		return nil, errors.New("the header has NUL characters, as in UTF-16: name the encoding if it is one, such as -encoding utf-16le")
	}
	r.names = columnNames(header)
	for i, name := range r.names {
		switch name {
		case columnID, columnISBN, columnAuthors, columnYear, columnTitle, columnLanguage:
			if _, twice := r.columns[name]; twice {
				return nil, fmt.Errorf("the header names column %q twice", header[i])
			}
			r.columns[name] = i
		}
	}
	s := &shape{width: len(header)}
	for _, name := range required {
		i, ok := r.columns[columnName(name)]
		if !ok {
			return nil, fmt.Errorf("the header has no column %q, it has %.200q", name, header)
		}
		s.required = append(s.required, i)
	}
	r.rows.shape = s
	return r, nil
}

// chooseSeparator finds the separator from the header, which it leaves to be read. It
// consumes the line "sep=;" with which some programs state the separator.
func (r *Reader) chooseSeparator() error {
	l, err := r.rows.begin()
	if errors.Is(err, io.EOF) {
		return nil // NewReader says so
	}
	if err != nil {
		return fmt.Errorf("read the header: %w", err)
	}
	r.rows.taken = 0
	if said, ok := strings.CutPrefix(strings.ToLower(strings.Trim(l.text, `"`)), "sep="); ok && len(said) == 1 {
		r.rows.sep, r.rows.ahead = said[0], r.rows.ahead[1:]
		return nil
	}
	for _, sep := range []byte{',', ';', '\t'} {
		p := rowParser{sep: sep}
		if p.add(l.text) != "" {
			continue
		}
		names := columnNames(p.fields)
		if !slices.ContainsFunc(required, func(name string) bool { return !slices.Contains(names, columnName(name)) }) {
			r.rows.sep = sep
			return nil
		}
	}
	return nil
}

func columnNames(header []string) []string {
	names := make([]string, 0, len(header))
	for _, name := range header {
		names = append(names, columnName(name))
	}
	return names
}

// columnName reduces the spellings of a name to one: "Book ID" is "bookid".
func columnName(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// Position is the line on which the next row may begin.
func (r *Reader) Position() int { return r.rows.position() }

// Next returns the next entry. After a *BadRow the reader goes on with the following row;
// io.EOF ends the file.
func (r *Reader) Next() (Entry, error) {
	fields, line, err := r.rows.next()
	if err != nil {
		return Entry{}, err
	}
	if reason := r.refuse(fields); reason != "" {
		return Entry{}, &BadRow{line, reason}
	}
	e := Entry{Line: line, SourceID: strings.TrimSpace(r.field(fields, columnID))}
	if firstTime := remember(r.ids, e.SourceID); !firstTime {
		return Entry{}, &BadRow{line, fmt.Sprintf("book_id %q was in an earlier row", e.SourceID)}
	}
	e.mend(func(column string) string { return r.field(fields, column) })
	if e.ISBN != "" && !remember(r.isbns, core(e.ISBN)) {
		e.ISBN = ""
		e.Mended = append(e.Mended, ISBNDuplicateDropped)
	}
	return e, nil
}

// refuse returns the reason why a row names no book; "" if it does. Empty cells at the end of a row
// may be missing, as spreadsheets leave them out.
func (r *Reader) refuse(fields []string) string {
	for i := len(r.names); i < len(fields); i++ {
		if strings.TrimSpace(fields[i]) != "" {
			return fmt.Sprintf("%d columns where the header has %d; the last is %.80q", len(fields), len(r.names), fields[len(fields)-1])
		}
	}
	if columnName(r.field(fields, columnID)) == columnID && slices.Equal(columnNames(fields), r.names) {
		return "the header again"
	}
	for i, name := range r.names {
		if _, read := r.columns[name]; !read || i >= len(fields) {
			continue
		}
		switch f := fields[i]; {
		case r.lossy && strings.ContainsRune(f, utf8.RuneError):
			return fmt.Sprintf("column %d has bytes that are not of the file's encoding", i+1)
		case !utf8.ValidString(f):
			return fmt.Sprintf("column %d is not valid UTF-8; if the file is of another encoding, name it: -encoding windows-1252", i+1)
		case strings.ContainsRune(f, 0):
			return fmt.Sprintf("column %d contains a NUL character", i+1)
		}
	}
	id := strings.TrimSpace(r.field(fields, columnID))
	switch {
	case id == "":
		return "no book_id"
	case utf8.RuneCountInString(id) > limits.SourceID:
		return fmt.Sprintf("book_id is longer than %d characters", limits.SourceID)
	case strings.ContainsFunc(id, func(c rune) bool { return !unicode.IsGraphic(c) }):
		return fmt.Sprintf("book_id %q has characters that nobody can see", id)
	case !text.Visible(r.field(fields, columnTitle)):
		if title := r.field(fields, columnTitle); title != "" {
			return fmt.Sprintf("no title that can be seen: %.80q", title)
		}
		return "no title"
	}
	if authors, _, _ := splitAuthors(r.field(fields, columnAuthors)); len(authors) == 0 {
		return "no author"
	}
	return ""
}

func (r *Reader) field(fields []string, column string) string {
	if i, ok := r.columns[column]; ok && i < len(fields) {
		return fields[i]
	}
	return ""
}

// remember adds s to the set and reports whether it was new. Two different strings share a 64-bit hash
// about once in ten million files of a million rows.
func remember(set map[uint64]struct{}, s string) bool {
	h := hash64(s)
	_, seen := set[h]
	set[h] = struct{}{}
	return !seen
}

// core is what both forms of one ISBN have in common: the nine digits before the check digit.
func core(isbn string) string {
	switch {
	case len(isbn) == 10:
		return isbn[:9]
	case strings.HasPrefix(isbn, "978"):
		return isbn[3:12]
	}
	return isbn
}

func hash64(s string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, s) // a hash never fails to take bytes
	return h.Sum64()
}
