// Package text says what people can see of a text.
package text

import (
	"strings"
	"unicode"
)

// Visible reports that at least one character of s leaves ink: no space, no
// control or format character, no filler, no variation selector.
func Visible(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsGraphic(r) && !unicode.IsSpace(r) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) &&
			!unicode.Is(unicode.Variation_Selector, r) && r != '\u2800' // a braille cell without dots
	})
}
