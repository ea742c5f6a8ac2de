package web

import (
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/fault"
)

// AcceptJSON refuses requests whose Accept header rules out JSON, before they
// do anything. Put it before a service's routes.
func AcceptJSON(c *fiber.Ctx) error {
	if !accepts(c, JSONType, ProblemType) {
		return fault.New(fault.NotAcceptable, "this call answers in application/json")
	}
	return c.Next()
}

// AcceptEvents refuses requests whose Accept header rules out a stream of
// events. Put it before the route instead of AcceptJSON.
func AcceptEvents(c *fiber.Ctx) error {
	if !accepts(c, EventsType) {
		return fault.New(fault.NotAcceptable, "this call answers in "+EventsType)
	}
	return c.Next()
}

// accepts tells whether the lines of the Accept header together take one of the
// types (RFC 9110, 12.5.1). Without a range in them they take everything.
func accepts(c *fiber.Ctx, types ...string) bool {
	var ranges []string
	for _, line := range c.Request().Header.PeekAll(fiber.HeaderAccept) {
		for _, element := range splitUnquoted(string(line), ',') {
			if element != "" {
				ranges = append(ranges, element)
			}
		}
	}
	if len(ranges) == 0 {
		return true
	}
	for _, offered := range types {
		if quality(ranges, offered) > 0 {
			return true
		}
	}
	return false
}

// quality is that of the most specific range that has the type; 0 is not
// acceptable. Parameters other than q do not matter: all our types are UTF-8.
func quality(ranges []string, offered string) float64 {
	family, _, _ := strings.Cut(offered, "/")
	closest, best := 0, 0.0
	for _, element := range ranges {
		parts := splitUnquoted(element, ';')
		near := 0
		switch name := strings.ToLower(parts[0]); name {
		case offered:
			near = 3
		case family + "/*":
			near = 2
		case "*/*", "*": // some old clients write the short form
			near = 1
		}
		if q := weight(parts[1:]); near > closest || (near > 0 && near == closest && q > best) {
			closest, best = near, q
		}
	}
	return best
}

// weight reads q among the parameters of a range; one that cannot be read is 1.
func weight(parameters []string) float64 {
	for _, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && q >= 0 && q <= 1 {
			return q
		}
	}
	return 1
}

// splitUnquoted splits at separators that do not stand in a quoted string, and
// trims the parts.
func splitUnquoted(text string, separator byte) (parts []string) {
	quoted, begin := false, 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quoted:
			i++
		case text[i] == '"':
			quoted = !quoted
		case text[i] == separator && !quoted:
			parts = append(parts, strings.TrimSpace(text[begin:i]))
			begin = i + 1
		}
	}
	return append(parts, strings.TrimSpace(text[begin:]))
}
