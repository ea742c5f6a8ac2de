// Command bare answers every book with the same bytes, and does nothing else:
// what a Fiber handler can do at best where the gateway stands. The benchmark
// of the gateway compares with it.
package main

import (
	"log"
	"strings"

	"github.com/gofiber/fiber/v2"
)

func main() {
	body := []byte(`{"id":1,"title":"` + strings.Repeat("x", 64) + `","authors":["` + strings.Repeat("y", 32) +
		`"],"priceCents":1000,"currency":"EUR","quantity":1000,"inStock":true,"version":1,"stockVersion":1,` +
		`"createdAt":"2026-01-01T00:00:00.000000Z","updatedAt":"2026-01-01T00:00:00.000000Z"}`)
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	app.Get("/ready", func(c *fiber.Ctx) error { return c.SendString("ok") })
	app.Get("/books/:id", func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
		return c.Send(body)
	})
	log.Fatal(app.Listen("127.0.0.1:8080"))
}
