package web

import (
	"bytes"
	"encoding/json"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/fault"
)

// JSONType is the content type of every success with a body.
const JSONType = "application/json"

// JSON answers with v. Text is not escaped for HTML: this is an API.
func JSON(c *fiber.Ctx, status int, v any) error {
	body, err := Encode(v)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, JSONType)
	return c.Status(status).Send(body)
}

// Encode gives the bytes that JSON sends, for those who store an answer.
func Encode(v any) ([]byte, error) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fault.Wrap("encode answer", err)
	}
	return bytes.TrimSuffix(body.Bytes(), []byte("\n")), nil
}
