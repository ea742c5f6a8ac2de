package books

import "strings"

// The lengths of the two forms, and the shortest ISBN-10 that is still taken
// for one whose leading zeros a spreadsheet ate.
const (
	isbn10       = 10
	isbn13       = 13
	shortestISBN = 7
)

// NormaliseISBN strips hyphens and spaces, restores the leading zeros of an
// ISBN-10 that lost them, and verifies the check digit. ok is false when what
// is left is no ISBN.
func NormaliseISBN(text string) (isbn string, ok bool) {
	isbn = strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(text))
	if len(isbn) >= shortestISBN && len(isbn) < isbn10 {
		isbn = strings.Repeat("0", isbn10-len(isbn)) + isbn
	}
	switch len(isbn) {
	case isbn10:
		return isbn, validISBN10(isbn)
	case isbn13:
		return isbn, validISBN13(isbn)
	default:
		return isbn, false
	}
}

// validISBN10 weighs the digits 10 to 1; X is ten and stands only at the end.
func validISBN10(isbn string) bool {
	sum := 0
	for i := range isbn10 {
		value := int(isbn[i]) - '0'
		if i == isbn10-1 && isbn[i] == 'X' {
			value = 10
		} else if value < 0 || value > 9 {
			return false
		}
		sum += value * (isbn10 - i)
	}
	return sum%11 == 0
}

// validISBN13 weighs the digits 1 and 3 in turn; the prefixes are those that
// the ISBN agency has been given.
func validISBN13(isbn string) bool {
	if !strings.HasPrefix(isbn, "978") && !strings.HasPrefix(isbn, "979") {
		return false
	}
	sum := 0
	for i := range isbn13 {
		value := int(isbn[i]) - '0'
		if value < 0 || value > 9 {
			return false
		}
		sum += value * (1 + 2*(i%2))
	}
	return sum%10 == 0
}
