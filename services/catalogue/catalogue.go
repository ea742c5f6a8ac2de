// Package catalogue loads a catalogue of books into the shop through its public API.
//
// A file is a CSV in the goodbooks-10k column layout. It is read as a stream: what is
// certain is mended (see mend.go), what is not is left empty, and a row that names no book
// is reported with its line and reason while the rest goes on. Rows become
// PUT /books/by-source, so loading a file again changes nothing.
package catalogue

import "fmt"

// Entry is one book as the file has it, after mending; it is what is sent to the shop.
type Entry struct {
	Line     int    // line of the file the row begins on, counted from 1
	SourceID string // the file's own id of the book

	ISBN          string // ten or thirteen characters with a correct check digit, or empty
	Title         string
	Authors       []string
	LeftOut       int    // authors beyond those that the shop takes
	PublishedYear *int   // negative before our era; nil when the file does not say
	Language      string // BCP 47, or empty

	Mended []Mend // what was changed on the way from the file to this entry
}

// BadRow is a row that could not be made into an Entry. It is reported and passed over.
type BadRow struct {
	Line   int
	Reason string
}

func (b *BadRow) Error() string { return fmt.Sprintf("line %d: %s", b.Line, b.Reason) }

// Mend names one kind of repair; the summary counts entries by it.
type Mend string

// loses tells whether a repair leaves out something that the file says.
func (m Mend) loses() bool {
	switch m {
	case ISBNZerosRestored, LanguageMapped, AuthorsDeduplicated, SpaceTidied:
		return false
	}
	return true
}

// The kinds of repair. The ones ending in Dropped leave the field empty.
const (
	ISBNZerosRestored    Mend = "isbn: leading zeros restored"
	ISBNDropped          Mend = "isbn: wrong check digit or form, left empty"
	ISBNDuplicateDropped Mend = "isbn: already in this file, left empty"
	ISBNTakenDropped     Mend = "isbn: belongs to another book of the shop, left empty"
	YearDropped          Mend = "year: not written as a year, left empty"
	YearZeroDropped      Mend = "year: there is no year 0, left empty"
	YearRefused          Mend = "year: too early or too late for the shop, left empty"
	LanguageMapped       Mend = "language: written as BCP 47"
	LanguageDropped      Mend = "language: unknown code, left empty"
	LanguageRefused      Mend = "language: not known to the shop, left empty"
	AuthorsCut           Mend = "authors: more than 1000, the others left out"
	AuthorsDeduplicated  Mend = "authors: repeated or empty names removed"
	SpaceTidied          Mend = "title: white space tidied"
)
