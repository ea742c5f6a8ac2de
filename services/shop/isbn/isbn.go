// Package isbn normalises and validates ISBNs (ISO 2108).
package isbn

import (
	"strings"
	"unicode"
)

// The lengths of the two forms, and of the shortest ISBN-10 whose leading zeros a spreadsheet may have removed.
const (
	ten      = 10
	thirteen = 13
	shortest = 7
)

// Normalise removes separators, restores the leading zeros of an ISBN-10, and verifies the check digit. ok is false when the
// rest is not an ISBN, or repeats one digit: people type 0000000000 or 1111111111 for a book without a number, and the
// check digits of these are valid.
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

// bare drops dashes, spaces, and the format characters that are copied with a number from a web page.
func bare(r rune) rune {
	if unicode.In(r, unicode.Pd, unicode.Zs, unicode.Cf) || r == '\u2212' {
		return -1
	}
	return r
}

// oneDigit reports that all digits are the same.
func oneDigit(digits string) bool { return strings.Count(digits, digits[:1]) == len(digits) }

// validTen weights the digits 10 to 1. X is ten, and only a check digit.
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

// validThirteen weights the digits 1 and 3 alternately. 978 and 979 are the prefixes of ISBNs.
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
