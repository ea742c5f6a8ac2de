package catalogue

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Printable writes text so that a terminal shows it and does nothing else: control and
// bidirectional characters, and all others that cannot be seen, are escaped.
func Printable(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		text = text[size:]
	}
	return b.String()
}
