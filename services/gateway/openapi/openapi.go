// Package openapi is the API's own description: what every call takes and what
// it may answer, as an OpenAPI 3.1 document and as a page on which to try it.
package openapi

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/swaggest/swgui/v5/static"

	"bookstore/services/platform/fault"
)

//go:embed openapi.json
var document []byte

// Document is the OpenAPI document, which must not be changed.
func Document() []byte { return document }

// keep lets clients cache document and page for five minutes: that long they may
// not see an update of the shop.
const keep = "public, max-age=300"

// Routes adds the document at /openapi.json and the page at /docs.
func Routes(app fiber.Router) {
	app.Get("/openapi.json", func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
		c.Set(fiber.HeaderCacheControl, keep)
		return c.Send(document)
	})
	app.Get("/docs", page.send)
	app.Get("/docs/:asset", sendPart)
}

//go:embed docs
var ours embed.FS

// policy lets the page load from and connect to this host alone.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// part is a file of the page.
type part struct {
	from    embed.FS
	name    string
	kind    string
	gzipped bool // as it is embedded
}

const (
	html   = "text/html; charset=utf-8"
	script = "text/javascript; charset=utf-8"
	style  = "text/css; charset=utf-8"
	icon   = "image/png"
)

var page = part{ours, "docs/docs.html", html, false}

// parts are the other files of the page: the shop's own, and Swagger UI's.
var parts = map[string]part{
	"docs.js":              {ours, "docs/docs.js", script, false},
	"docs.css":             {ours, "docs/docs.css", style, false},
	"swagger-ui-bundle.js": {static.FS, "swagger-ui-bundle.js.gz", script, true},
	"swagger-ui.css":       {static.FS, "swagger-ui.css.gz", style, true},
	"favicon-32x32.png":    {static.FS, "favicon-32x32.png", icon, false},
}

func sendPart(c *fiber.Ctx) error {
	p, ok := parts[c.Params("asset")]
	if !ok {
		return fault.New(fault.NotFound, "the page has no such part")
	}
	return p.send(c)
}

func (p part) send(c *fiber.Ctx) error {
	content, err := p.from.ReadFile(p.name)
	if err != nil {
		return fault.Wrap("read the page", err)
	}
	if p.gzipped {
		c.Vary(fiber.HeaderAcceptEncoding)
		if strings.Contains(c.Get(fiber.HeaderAcceptEncoding), "gzip") {
			c.Set(fiber.HeaderContentEncoding, "gzip")
		} else if content, err = unzip(content); err != nil {
			return fault.Wrap("read the page", err)
		}
	}
	c.Set(fiber.HeaderContentType, p.kind)
	c.Set(fiber.HeaderContentSecurityPolicy, policy)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	c.Set(fiber.HeaderCacheControl, keep)
	return c.Send(content)
}

func unzip(content []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
