package report

import (
	"regexp"
	"strings"
)

// token is what a semicolon may stand in without ending a statement, or one that ends it.
var token = regexp.MustCompile(`(?s)'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*\n|/\*.*?\*/|;|['"]|--|/\*|\$[A-Za-z_0-9]*\$`)

// split cuts SQL into the statements that have ended, without the comments before them, and the rest.
func split(text string) (statements []string, rest string) {
	begin, at := 0, 0
	for {
		m := token.FindStringIndex(text[at:])
		if m == nil {
			return statements, text[begin:]
		}
		from, to := at+m[0], at+m[1]
		at = to
		switch found := text[from:to]; {
		case found == ";":
			if s := trim(text[begin:from]); s != "" {
				statements = append(statements, s)
			}
			begin = to
		case found[0] == '$': // up to the same again
			end := strings.Index(text[to:], found)
			if end < 0 {
				return statements, text[begin:]
			}
			at = to + end + len(found)
		case len(found) == 1, found == "--", found == "/*": // has begun and not ended
			return statements, text[begin:]
		}
	}
}

var leading = regexp.MustCompile(`^(\s+|--[^\n]*(\n|$)|(?s:/\*.*?\*/))+`)

func trim(s string) string { return strings.TrimSpace(leading.ReplaceAllString(s, "")) }
