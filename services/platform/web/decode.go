package web

import (
	"bytes"
	"errors"
	"mime"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/fault"
)

// DecodeJSON reads the body into v, strictly: only application/json, one value,
// valid UTF-8, no NUL character, no unknown or repeated member, no wrong type.
// A refusal names the member, such as items[0].quantity.
func DecodeJSON(c *fiber.Ctx, v any) error {
	return DecodeAs(c, v, JSONType)
}

// DecodeAs is DecodeJSON for calls that take other media types.
func DecodeAs(c *fiber.Ctx, v any, mediaTypes ...string) error {
	if err := checkMediaType(c.Get(fiber.HeaderContentType), mediaTypes); err != nil {
		return err
	}
	body, err := Body(c, 0)
	if err != nil {
		return err
	}
	return Unmarshal(body, v)
}

func checkMediaType(header string, allowed []string) error {
	given, params, err := mime.ParseMediaType(header)
	charset, named := params["charset"]
	if err == nil && (!named || strings.EqualFold(charset, "utf-8")) {
		if slices.Contains(allowed, given) {
			return nil
		}
	}
	return fault.Newf(fault.UnsupportedMediaType, "the body must be %s in UTF-8", strings.Join(allowed, " or "))
}

// Unmarshal is the strict decoding of DecodeJSON on bytes.
func Unmarshal(body []byte, v any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return malformed("", "required", "the body is empty")
	}
	if err := scan(body); err != nil {
		return err
	}
	err := json.Unmarshal(body, v, json.RejectUnknownMembers(true))
	var semantic *json.SemanticError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		return malformed(path(semantic.JSONPointer), "unknown_field", "there is no such field")
	case errors.As(err, &semantic):
		return malformed(path(semantic.JSONPointer), "wrong_type", typeDetail(semantic))
	default:
		return syntaxFault(err)
	}
}

// scan reads all tokens for what no Go type can tell: syntax, repeated names,
// bytes that are not UTF-8, NUL characters, data after the value.
func scan(body []byte) error {
	decoder := jsontext.NewDecoder(bytes.NewReader(body))
	for first := true; first || decoder.StackDepth() > 0; first = false {
		token, err := decoder.ReadToken()
		if err != nil {
			return syntaxFault(err)
		}
		if token.Kind() == '"' && strings.ContainsRune(token.String(), 0) {
			return malformed(path(decoder.StackPointer()), "nul_character", "NUL characters are not allowed")
		}
	}
	if decoder.PeekKind() != 0 || len(bytes.TrimSpace(body[decoder.InputOffset():])) > 0 {
		return malformed("", "trailing_data", "there is more after the JSON value")
	}
	return nil
}

func syntaxFault(err error) error {
	var syntactic *jsontext.SyntacticError
	if !errors.As(err, &syntactic) {
		return malformed("", "syntax", "the body is not JSON")
	}
	field := path(syntactic.JSONPointer)
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return malformed(field, "duplicate_field", "the field is given twice")
	case strings.Contains(syntactic.Err.Error(), "UTF-8"):
		return malformed(field, "invalid_utf8", "the text is not valid UTF-8")
	default:
		return malformed(field, "syntax", "the body is not JSON at byte "+strconv.FormatInt(syntactic.ByteOffset, 10))
	}
}

func typeDetail(err *json.SemanticError) string {
	if err.GoType == nil {
		return "the value has the wrong type"
	}
	return "the value must be " + wireType(err.GoType)
}

func malformed(field, code, detail string) error {
	f := fault.New(fault.MalformedRequest, detail)
	if field != "" {
		f.Message = field + ": " + detail
	}
	f.Fields = []fault.Field{{Field: field, Code: code, Detail: detail}}
	return f
}

// path writes a JSON pointer as the contract does: /items/0/quantity is
// items[0].quantity.
func path(pointer jsontext.Pointer) string {
	var b strings.Builder
	for token := range pointer.Tokens() {
		if _, err := strconv.ParseUint(token, 10, 32); err == nil && b.Len() > 0 {
			b.WriteString("[" + token + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(token)
	}
	return b.String()
}

// Optional is a member of a partial update, which may be absent, null or a
// value, and means something else each time.
type Optional[T any] struct {
	Set   bool // the member is there
	Null  bool // and it is null
	Value T
}

// UnmarshalJSONFrom reads the member's value.
func (o *Optional[T]) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	o.Set = true
	if decoder.PeekKind() == 'n' {
		o.Null = true
		return decoder.SkipValue()
	}
	return json.UnmarshalDecode(decoder, &o.Value)
}

// wireType names a Go type as a reader of the API knows it.
func wireType(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		return wireType(t.Elem())
	}
	if t == reflect.TypeFor[time.Time]() {
		return "a time in RFC 3339"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int, reflect.Int64:
		return "an integer in range"
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint, reflect.Uint64:
		return "a non-negative integer in range"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "of another type"
	}
}
