package catalogue

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"unicode/utf8"
)

// maxSourceID is the longest book_id accepted, in bytes: it becomes part of a path.
const maxSourceID = 100

// Reader yields the entries of one file, one row in memory at a time. It remembers eight
// bytes per ISBN and id it has seen, to tell repeated ones.
type Reader struct {
	rows    *rowReader
	columns map[string]int
	width   int
	isbns   map[uint64]struct{}
	ids     map[uint64]struct{}
}

// NewReader reads the header. Columns are found by name, in any order; book_id, title and
// authors must be there, without which the shop takes no book; the others may be missing.
func NewReader(r io.Reader) (*Reader, error) {
	rows := newRowReader(r)
	header, _, err := rows.next()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty: a header with book_id, title and authors is needed")
	}
	if err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	columns := make(map[string]int, len(header))
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))
		if _, twice := columns[name]; twice {
			return nil, fmt.Errorf("the header names column %q twice", name)
		}
		columns[name] = i
	}
	for _, name := range []string{"book_id", "title", "authors"} {
		if _, ok := columns[name]; !ok {
			return nil, fmt.Errorf("the header has no column %q", name)
		}
	}
	return &Reader{
		rows: rows, columns: columns, width: len(header),
		isbns: map[uint64]struct{}{}, ids: map[uint64]struct{}{},
	}, nil
}

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
	e := Entry{Line: line, SourceID: strings.TrimSpace(r.field(fields, "book_id"))}
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

// refuse says why a row cannot name a book; "" when it can.
func (r *Reader) refuse(fields []string) string {
	if len(fields) != r.width {
		return fmt.Sprintf("%d columns where the header has %d", len(fields), r.width)
	}
	for i, f := range fields {
		if !utf8.ValidString(f) {
			return fmt.Sprintf("column %d is not valid UTF-8", i+1)
		}
		if strings.ContainsRune(f, 0) {
			return fmt.Sprintf("column %d contains a NUL character", i+1)
		}
	}
	id := strings.TrimSpace(r.field(fields, "book_id"))
	switch {
	case id == "":
		return "no book_id"
	case len(id) > maxSourceID:
		return fmt.Sprintf("book_id is longer than %d bytes", maxSourceID)
	case strings.TrimSpace(r.field(fields, "title")) == "":
		return "no title"
	case strings.Trim(r.field(fields, "authors"), ", \t") == "":
		return "no author"
	}
	return ""
}

func (r *Reader) field(fields []string, column string) string {
	if i, ok := r.columns[column]; ok {
		return fields[i]
	}
	return ""
}

// remember reports whether s is new to the set. Two different strings share a 64-bit hash
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
