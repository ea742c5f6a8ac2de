package bookshttp

import (
	"math"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/books"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/shop/kinds"
)

// longestSearch bounds the text of a search, in characters.
const longestSearch = 200

// highestHeader, on a 404, is the highest id in use, so that a cache can answer for all ids above it.
const highestHeader = "X-Highest-Book-Id"

func (h *handler) get(c *fiber.Ctx) error {
	id, err := target(c)
	if err != nil {
		return err
	}
	book, err := h.store.Get(web.Context(c), id)
	if err != nil {
		if fault.KindOf(err) == kinds.BookNotFound {
			h.tellHighest(c)
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

// tellHighest looks after the book was not found: one that has been added since
// is not beyond the id that is told. Without it, the answer is good for its own
// id all the same.
func (h *handler) tellHighest(c *fiber.Ctx) {
	if highest, err := h.store.Highest(web.Context(c)); err == nil {
		c.Set(highestHeader, strconv.FormatInt(highest, 10))
	}
}

// answerBook answers with a book and its tag.
func answerBook(c *fiber.Ctx, status int, book books.Book) error {
	c.Set(fiber.HeaderETag, etag(book))
	return web.JSON(c, status, showBook(book))
}

func (h *handler) availability(c *fiber.Ctx) error {
	id, err := target(c)
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
		if *into, err = web.Query(c, name, longestSearch); err != nil {
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
