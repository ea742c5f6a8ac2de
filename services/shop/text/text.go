// Package text says what people can see of a text.
package text

import (
	"strings"
	"unicode"
)

// blank are letters and symbols that show nothing, and that no property of
// Unicode says so of: a braille cell without dots, a note without a head, and
// two blanks between hieroglyphs.
const blank = "\u2800\U0001d159\U00013441\U00013442"

// Visible reports that at least one character of s can be seen by itself: no
// space, no control or format character, no filler, and no mark, which needs a
// character to stand on (variation selectors are marks).
func Visible(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsPrint(r) && r != ' ' && !unicode.IsMark(r) &&
			!unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) && !strings.ContainsRune(blank, r)
	})
}
