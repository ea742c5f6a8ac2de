package gateway

import (
	"strconv"
	"strings"
	"time"
)

// plain tells whether a path means the same to everyone it passes. The routes
// were matched on the path as written; a proxy on the way that resolves dots
// or encoded slashes could come to another path, such as an internal one.
func plain(written, decoded string) bool {
	lower := strings.ToLower(written)
	for _, odd := range []string{"%2f", "%5c", "%2e", "\\", "//", "%00"} {
		if strings.Contains(lower, odd) {
			return false
		}
	}
	for segment := range strings.SplitSeq(decoded, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

func milliseconds(d time.Duration) string {
	return strconv.FormatInt(max(1, d.Milliseconds()), 10)
}
