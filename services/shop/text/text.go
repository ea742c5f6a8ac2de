// Package text tells whether people can see a text.
package text

import (
	"strings"
	"unicode"
)

// blank are letters and symbols that display nothing without a Unicode property that says so: the empty braille cell, the
// null notehead, and two blanks of Egyptian hieroglyphs.
const blank = "\u2800\U0001d159\U00013441\U00013442"

// Visible reports whether s has a character that is visible by itself: not a space, control or format character, filler or
// combining mark (variation selectors are marks).
func Visible(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsPrint(r) && r != ' ' && !unicode.IsMark(r) &&
			!unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) && !strings.ContainsRune(blank, r)
	})
}
