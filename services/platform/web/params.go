package web

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"bookstore/services/platform/fault"
)

var (
	positive       = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)
	canonicalUUID  = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	idempotencyKey = regexp.MustCompile(`^[!-~]{1,128}$`)
)

// PathInt64 reads a positive id from the path; anything else is NotFound,
// which the caller may replace by a more specific kind.
func PathInt64(c *fiber.Ctx, name string) (int64, error) {
	text := c.Params(name)
	if !positive.MatchString(text) {
		return 0, fault.New(fault.NotFound, "there is no such id")
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fault.New(fault.NotFound, "there is no such id")
	}
	return id, nil
}

// PathUUID reads a UUID, in small letters or capitals, and returns its canonical
// form, in small letters; anything else is NotFound.
func PathUUID(c *fiber.Ctx, name string) (string, error) {
	text := strings.ToLower(c.Params(name))
	if !canonicalUUID.MatchString(text) || uuid.Validate(text) != nil {
		return "", fault.New(fault.NotFound, "there is no such id")
	}
	return text, nil
}

// PathText reads a percent-decoded segment of the path.
func PathText(c *fiber.Ctx, name string) (string, error) {
	text, err := url.PathUnescape(c.Params(name))
	if err != nil || !utf8.ValidString(text) {
		return "", fault.Invalid(fault.Field{Field: name, Code: "invalid_utf8", Detail: "must be percent-encoded UTF-8"})
	}
	return text, nil
}

// AllowQuery refuses query parameters other than these, repeated ones, and those
// without a value: a filter that was left empty is a mistake of the client, who
// would be given everything.
func AllowQuery(c *fiber.Ctx, names ...string) error {
	var bad, empty []fault.Field
	seen := map[string]bool{}
	c.Context().QueryArgs().VisitAll(func(key, value []byte) {
		name := strings.ToValidUTF8(string(key), "\uFFFD")
		switch {
		case !slices.Contains(names, name):
			bad = append(bad, fault.Field{Field: name, Code: "unexpected_parameter", Detail: "this call has no such parameter"})
		case seen[name]:
			bad = append(bad, fault.Field{Field: name, Code: "repeated_parameter", Detail: "the parameter is given twice"})
		case len(value) == 0:
			empty = append(empty, fault.Field{Field: name, Code: "required", Detail: "must have a value, or be left out"})
		}
		seen[name] = true
	})
	switch {
	case bad == nil && empty == nil:
		return nil
	case bad == nil:
		return fault.Invalid(empty...)
	}
	f := fault.Newf(fault.UnexpectedParameter, "unexpected query parameter: %s", bad[0].Field)
	f.Fields = bad
	return f
}

// Query reads a text parameter ("" when absent) of at most max characters;
// NUL characters and invalid UTF-8 are refused.
func Query(c *fiber.Ctx, name string, max int) (string, error) {
	text := c.Query(name)
	switch {
	case !utf8.ValidString(text):
		return "", fault.Invalid(fault.Field{Field: name, Code: "invalid_utf8", Detail: "must be UTF-8"})
	case strings.ContainsRune(text, 0):
		return "", fault.Invalid(fault.Field{Field: name, Code: "nul_character", Detail: "NUL characters are not allowed"})
	case utf8.RuneCountInString(text) > max:
		return "", fault.Invalid(fault.Field{Field: name, Code: "too_long", Detail: "at most " + strconv.Itoa(max) + " characters"})
	}
	return text, nil
}

// IdempotencyKey reads the header of that name; "" when absent.
func IdempotencyKey(c *fiber.Ctx) (string, error) {
	values := c.Request().Header.PeekAll("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	if key := string(values[0]); len(values) == 1 && idempotencyKey.MatchString(key) {
		return key, nil
	}
	return "", fault.Invalid(fault.Field{Field: "Idempotency-Key", Code: "out_of_range", Detail: "must be 1 to 128 visible ASCII characters"})
}

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
