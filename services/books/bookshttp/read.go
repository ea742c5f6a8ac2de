package bookshttp

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/books"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/shop/kinds"
	"bookstore/services/shop/limits"
)

// maxSearch bounds the text of a search, in characters.
const maxSearch = 200

// highestHeader, on a 404, has the highest id that a book has or had, so that a cache can answer for all ids above it.
const highestHeader = "X-Highest-Book-Id"

func (h *handler) get(c *fiber.Ctx) error {
	id, err := bookID(c)
	if err != nil {
		return err
	}
	book, err := h.store.Get(web.Context(c), id)
	if err != nil {
		if fault.KindOf(err) == kinds.BookNotFound {
			h.setHighest(c)
		}
		return err
	}
	c.Set(fiber.HeaderCacheControl, "no-cache")
	if tag := etag(book); unchanged(c, tag) {
		c.Set(fiber.HeaderETag, tag)
		c.Status(fiber.StatusNotModified)
		return nil
	}
	return answerBook(c, fiber.StatusOK, book)
}

// setHighest sets highestHeader. It reads the id after the book was not found: the id of a book that was added in between is
// not above it. Without the header the 404 is still right for its own id.
func (h *handler) setHighest(c *fiber.Ctx) {
	if highest, err := h.store.Highest(web.Context(c)); err == nil {
		c.Set(highestHeader, strconv.FormatInt(highest, 10))
	}
}

// answerBook answers with a book and its ETag.
func answerBook(c *fiber.Ctx, status int, book books.Book) error {
	c.Set(fiber.HeaderETag, etag(book))
	return web.JSON(c, status, showBook(book))
}

func (h *handler) availability(c *fiber.Ctx) error {
	id, err := bookID(c)
	if err != nil {
		return err
	}
	left, err := h.store.Available(web.Context(c), id)
	if err != nil {
		return err
	}
	return web.JSON(c, fiber.StatusOK, showAvailability(left))
}

func (h *handler) list(c *fiber.Ctx) error {
	query, err := listQuery(c)
	if err != nil {
		return err
	}
	page, err := h.store.List(web.Context(c), query)
	if err != nil {
		return err
	}
	list := web.List[bookJSON]{Items: make([]bookJSON, 0, len(page.Books))}
	for i, book := range page.Books {
		item := showBook(book)
		if query.Searches() {
			item.Match = "exact"
			if i >= len(page.Books)-page.Near {
				item.Match = "near"
			}
		}
		list.Items = append(list.Items, item)
	}
	if page.Next != nil {
		list.NextCursor = web.EncodeCursor(page.Next)
	}
	c.Set(fiber.HeaderAge, strconv.Itoa(int(math.Ceil(page.Age.Seconds()))))
	return web.JSON(c, fiber.StatusOK, list)
}

func listQuery(c *fiber.Ctx) (query books.Query, err error) {
	if err = web.AllowQuery(c, "q", "author", "language", "sort", "limit", "cursor"); err != nil {
		return query, err
	}
	for name, into := range map[string]*string{
		"q": &query.Text, "author": &query.Author, "language": &query.Language, "sort": (*string)(&query.Sort),
	} {
		if *into, err = web.Query(c, name, maxSearch); err != nil {
			return query, err
		}
	}
	query.Token = c.Get(web.HeaderConsistency)
	limit, cursor, err := web.Page(c)
	if err != nil {
		return query, err
	}
	query.Limit = limit
	if cursor != "" {
		query.After = new(books.Cursor)
		if err := web.DecodeCursor(cursor, query.After); err != nil {
			return query, err
		}
	}
	return query.Check()
}

func (h *handler) quotes(c *fiber.Ctx) error {
	var body struct {
		BookIDs []int64 `json:"bookIds"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	if len(body.BookIDs) == 0 || len(body.BookIDs) > limits.OrderItems {
		return fault.Invalid(fault.Field{Field: "bookIds", Code: "out_of_range", Detail: fmt.Sprintf("must be 1 to %d ids", limits.OrderItems)})
	}
	quotes, err := h.store.Quotes(web.Context(c), body.BookIDs)
	if err != nil {
		return err
	}
	return web.JSON(c, fiber.StatusOK, fiber.Map{"quotes": showQuotes(quotes)})
}

// etag is the ETag of a book. It changes with every edit and every change of stock.
func etag(b books.Book) string {
	return fmt.Sprintf(`"%d.%d"`, b.Version, b.StockVersion)
}

// unchanged reports whether If-None-Match has the tag.
func unchanged(c *fiber.Ctx, tag string) bool {
	for given := range strings.SplitSeq(c.Get(fiber.HeaderIfNoneMatch), ",") {
		given = strings.TrimPrefix(strings.TrimSpace(given), "W/")
		if given == tag || given == "*" {
			return true
		}
	}
	return false
}
