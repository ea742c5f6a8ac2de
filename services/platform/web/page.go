package web

import (
	"encoding/base64"
	"encoding/json"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/fault"
)

// The limits of ?limit= and ?cursor=.
const (
	defaultPage = 20
	largestPage = 100
	longCursor  = 6000 // a cursor may hold a database snapshot
)

// List is one page of a list.
type List[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"nextCursor,omitempty"` // absent on the last page
}

// Page reads ?limit= (1 to 100, 20 when absent) and ?cursor= ("" is the first page).
func Page(c *fiber.Ctx) (limit int, cursor string, err error) {
	limit = defaultPage
	if text := c.Query("limit"); text != "" {
		limit, err = strconv.Atoi(text)
		if err != nil || limit < 1 || limit > largestPage {
			return 0, "", fault.Invalid(fault.Field{Field: "limit", Code: "out_of_range", Detail: "must be 1 to 100"})
		}
	}
	cursor, err = Query(c, "cursor", longCursor)
	return limit, cursor, err
}

// EncodeCursor makes the opaque text of a place in a list. It panics when v
// has no JSON, which is a mistake in the program.
func EncodeCursor(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic("web: a cursor without JSON: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// DecodeCursor reads what EncodeCursor made.
func DecodeCursor(s string, v any) error {
	text, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = Unmarshal(text, v)
	}
	if err != nil {
		return BadCursor()
	}
	return nil
}

// BadCursor is the fault of a cursor that was not made for this list.
func BadCursor() error {
	return fault.Invalid(fault.Field{Field: "cursor", Code: "invalid", Detail: "is not a cursor of this list"})
}
