// Package catalogue loads a catalogue of books into the shop through its public API.
//
// A file is a CSV in the goodbooks-10k column layout, and is read as a stream. A value is
// mended if the repair is certain, else left empty. A row that names no book is reported
// with its line and reason, and reading goes on. Rows become
// PUT /books/by-source, so loading a file again changes nothing.
package catalogue

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/language"

	"bookstore/services/shop/isbn"
	"bookstore/services/shop/limits"
	"bookstore/services/shop/text"
)

// Entry is one book as the file has it, after mending; it is what is sent to the shop.
type Entry struct {
	Line     int    // line of the file the row begins on, counted from 1
	SourceID string // the file's own id of the book

	ISBN          string // ten or thirteen characters with a correct check digit, or empty
	Title         string
	Authors       []string
	LeftOut       int    // number of authors beyond limits.Authors
	PublishedYear *int   // negative before our era; nil when the file does not say
	Language      string // BCP 47, or empty

	Mended []Mend // what was changed on the way from the file to this entry
}

// BadRow is a row that could not be made into an Entry. It is reported and skipped.
type BadRow struct {
	Line   int
	Reason string
}

func (b *BadRow) Error() string { return fmt.Sprintf("line %d: %s", b.Line, b.Reason) }

// Mend names one kind of repair; the summary counts entries by it.
type Mend string

// loses tells whether a repair drops information of the file.
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

// mend fills the entry from the file's columns and notes every repair.
func (e *Entry) mend(column func(string) string) {
	note := func(m Mend, happened bool) {
		if happened {
			e.Mended = append(e.Mended, m)
		}
	}
	raw := column(columnTitle)
	e.Title = strings.Join(strings.Fields(raw), " ")
	note(SpaceTidied, e.Title != raw)

	var changed, dropped bool
	e.ISBN, changed, dropped = mendISBN(column(columnISBN))
	note(ISBNZerosRestored, changed)
	note(ISBNDropped, dropped)

	e.Authors, e.LeftOut, changed = splitAuthors(column(columnAuthors))
	note(AuthorsDeduplicated, changed)
	note(AuthorsCut, e.LeftOut > 0)

	var wrong Mend
	e.PublishedYear, wrong = mendYear(column(columnYear))
	note(wrong, wrong != "")

	e.Language, changed, dropped = mendLanguage(column(columnLanguage))
	note(LanguageMapped, changed)
	note(LanguageDropped, dropped)
}

// wrapping is what programs put around an ISBN: Excel's ="…" and '…, which keep zeros,
// the decimals of a column of numbers, and the column's name. "ISBN 10…" may begin the number.
var wrapping = regexp.MustCompile(`(?i)^[='"\s]*(?:isbn(?:[ -]?1[03])?:|isbn)?|(?:\.0+)?["'\s]*$`)

// mendISBN restores up to three leading zeros, which programs lose that read an ISBN-10 as a
// number. With more, the number would be so short that the check digit, right by chance once
// in eleven, is no proof. An ISBN whose check digit is wrong is dropped, never guessed.
func mendISBN(raw string) (number string, zeros, dropped bool) {
	if strings.TrimSpace(raw) == "" {
		return "", false, false
	}
	raw = wrapping.ReplaceAllString(raw, "")
	number, ok := isbn.Normalise(raw)
	if !ok {
		return "", false, true
	}
	given := strings.IndexFunc(raw, unicode.IsDigit) // where the number begins
	return number, strings.HasPrefix(number, "0") && raw[given] != '0', false
}

// decimalYear is a year as people and spreadsheets write it: 2008, 2008.0, -750.
var decimalYear = regexp.MustCompile(`^[+-]?[0-9]{1,9}([.,]0*)?$`)

// mendYear reads a year. The shop decides whether it accepts it.
func mendYear(raw string) (year *int, wrong Mend) {
	s := strings.TrimSpace(raw)
	if s == "" {
		return nil, ""
	}
	if !decimalYear.MatchString(s) {
		return nil, YearDropped
	}
	whole, _, _ := strings.Cut(strings.ReplaceAll(s, ",", "."), ".")
	y, err := strconv.Atoi(whole)
	switch {
	case err != nil:
		return nil, YearDropped
	case y == 0:
		return nil, YearZeroDropped
	}
	return &y, ""
}

// bibliographic maps the ISO 639-2/B codes, which libraries use and BCP 47 does not know,
// to the subtags BCP 47 has for them.
var bibliographic = map[string]string{
	"alb": "sq", "arm": "hy", "baq": "eu", "bur": "my", "chi": "zh", "cze": "cs", "dut": "nl",
	"fre": "fr", "geo": "ka", "ger": "de", "gre": "el", "ice": "is", "mac": "mk", "mao": "mi",
	"may": "ms", "per": "fa", "rum": "ro", "slo": "sk", "tib": "bo", "wel": "cy",
}

// mendLanguage writes a language code as BCP 47: "eng" is "en", "en-us" is "en-US".
func mendLanguage(raw string) (tag string, changed, dropped bool) {
	s := strings.TrimSpace(raw)
	if s == "" {
		return "", false, false
	}
	code := s
	if two, ok := bibliographic[strings.ToLower(s)]; ok {
		code = two
	}
	t, err := language.Raw.Parse(code)
	if err != nil || t == language.Und {
		return "", false, true
	}
	return t.String(), t.String() != raw, false
}

// separators stand between names in the lists of other catalogues; no name contains them.
var separators = regexp.MustCompile(`\s*[;|]\s*`)

// splitAuthors splits a list "A, B", "A; B" or "A|B" and removes empty and repeated names. more is the
// number of authors beyond limits.Authors.
func splitAuthors(raw string) (authors []string, more int, changed bool) {
	if strings.TrimSpace(raw) == "" {
		return nil, 0, false
	}
	seen := map[string]bool{}
	for name := range strings.SplitSeq(separators.ReplaceAllString(raw, ", "), ", ") {
		tidy := strings.Join(strings.Fields(name), " ")
		if !text.Visible(strings.ReplaceAll(tidy, ",", "")) || seen[tidy] {
			changed = true
			continue
		}
		seen[tidy] = true
		changed = changed || tidy != name
		if len(authors) == limits.Authors {
			more++
			continue
		}
		authors = append(authors, tidy)
	}
	return authors, more, changed
}
