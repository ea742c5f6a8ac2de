package catalogue

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/language"

	"bookstore/services/shop/isbn"
	"bookstore/services/shop/limits"
	"bookstore/services/shop/text"
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

// dress is what programs put around an ISBN: Excel's ="…" and '…, which keep zeros,
// the decimals of a column of numbers, and its name. "ISBN 10…" may begin the number.
var dress = regexp.MustCompile(`(?i)^[='"\s]*(?:isbn(?:[ -]?1[03])?:|isbn)?|(?:\.0+)?["'\s]*$`)

// mendISBN restores up to three leading zeros, which programs that take an ISBN-10 for a
// number lose. More than three would leave a number so short that the check digit, right
// by chance once in eleven, is no proof. What does not check is dropped, never guessed.
func mendISBN(raw string) (number string, zeros, dropped bool) {
	if strings.TrimSpace(raw) == "" {
		return "", false, false
	}
	raw = dress.ReplaceAllString(raw, "")
	number, ok := isbn.Normalise(raw)
	if !ok {
		return "", false, true
	}
	given := strings.IndexFunc(raw, unicode.IsDigit) // where the number begins, or the zeros that it lost did
	return number, strings.HasPrefix(number, "0") && raw[given] != '0', false
}

// decimalYear is a year as people and spreadsheets write it: 2008, 2008.0, -750.
var decimalYear = regexp.MustCompile(`^[+-]?[0-9]{1,9}([.,]0*)?$`)

// mendYear reads a year. Whether the shop takes it, it says itself.
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

// listed is what stands between names in the lists of other catalogues: no name has it.
var listed = regexp.MustCompile(`\s*[;|]\s*`)

// splitAuthors splits a list "A, B", "A; B" or "A|B" and removes empty and repeated names. more is how many
// there are beyond those that the shop takes.
func splitAuthors(raw string) (authors []string, more int, changed bool) {
	if strings.TrimSpace(raw) == "" {
		return nil, 0, false
	}
	seen := map[string]bool{}
	for name := range strings.SplitSeq(listed.ReplaceAllString(raw, ", "), ", ") {
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
