package bookshttp

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/books"
)

// etag changes with every edit and every change of stock.
func etag(b books.Book) string {
	return fmt.Sprintf(`"%d.%d"`, b.Version, b.StockVersion)
}

// ifMatch reads If-Match. given tells whether the header exists; version is nil for *. Only the entry's version is
// compared, since orders change the stock at any time. Several tags, or text that is not a tag, match no version.
func ifMatch(c *fiber.Ctx) (version *int64, given bool) {
	header := strings.TrimSpace(c.Get(fiber.HeaderIfMatch))
	switch header {
	case "":
		return nil, false
	case "*":
		return nil, true
	}
	tag := strings.Trim(strings.TrimPrefix(header, "W/"), `"`)
	text, _, _ := strings.Cut(tag, ".")
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		number = 0
	}
	return &number, true
}

// unchanged reports that If-None-Match names the tag.
func unchanged(c *fiber.Ctx, tag string) bool {
	for given := range strings.SplitSeq(c.Get(fiber.HeaderIfNoneMatch), ",") {
		given = strings.TrimPrefix(strings.TrimSpace(given), "W/")
		if given == tag || given == "*" {
			return true
		}
	}
	return false
}
