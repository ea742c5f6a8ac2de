// Package isbn is the shop's one check of ISBNs (ISO 2108).
package isbn

import (
	"strings"
	"unicode"
)

// The lengths of the two forms, and the shortest ISBN-10 that is still taken
// for one whose leading zeros a spreadsheet ate.
const (
	ten      = 10
	thirteen = 13
	shortest = 7
)

// Normalise strips what stands between digits, restores the leading zeros of an
// ISBN-10 that lost them, and verifies the check digit. ok is false when what
// is left is no ISBN, or one digit over and over: people type 0000000000 or
// 1111111111 where there is no number, and the check digit of all these is
// right, whichever the form.
func Normalise(text string) (number string, ok bool) {
	number = strings.ToUpper(strings.Map(bare, text))
	if len(number) >= shortest && len(number) < ten {
		number = strings.Repeat("0", ten-len(number)) + number
	}
	switch len(number) {
	case ten:
		return number, validTen(number) && !oneDigit(number[:ten-1])
	case thirteen:
		return number, validThirteen(number) && !oneDigit(number[3:thirteen-1])
	default:
		return number, false
	}
}

// bare drops dashes, blanks, and the invisible marks that come along when a number
// is copied from a page.
func bare(r rune) rune {
	if unicode.In(r, unicode.Pd, unicode.Zs, unicode.Cf) || r == '\u2212' {
		return -1
	}
	return r
}

// oneDigit reports that all the digits between prefix and check digit are the same.
func oneDigit(digits string) bool { return strings.Count(digits, digits[:1]) == len(digits) }

// validTen weighs the digits 10 to 1; X is ten and stands only at the end.
func validTen(isbn string) bool {
	sum := 0
	for i := range ten {
		value := int(isbn[i]) - '0'
		if i == ten-1 && isbn[i] == 'X' {
			value = 10
		} else if value < 0 || value > 9 {
			return false
		}
		sum += value * (ten - i)
	}
	return sum%11 == 0
}

// validThirteen weighs the digits 1 and 3 in turn; the prefixes are those that
// the ISBN agency has been given.
func validThirteen(isbn string) bool {
	if !strings.HasPrefix(isbn, "978") && !strings.HasPrefix(isbn, "979") {
		return false
	}
	sum := 0
	for i := range thirteen {
		value := int(isbn[i]) - '0'
		if value < 0 || value > 9 {
			return false
		}
		sum += value * (1 + 2*(i%2))
	}
	return sum%10 == 0
}
