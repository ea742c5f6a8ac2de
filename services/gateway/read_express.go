package gateway

import (
	"bytes"
	"context"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"bookstore/services/cache"
)

const (
	bookPattern = "/books/:id"
	bookPath    = "/books/"
	// longestID is that of the largest number of which every digit may be 9.
	longestID = 18
)

// Express is the short way for the hottest call, a book that is near: it does
// what the route's handler does and nothing of what other cases need. Whatever
// is unusual about a request goes the usual way.
func (g *Gateway) Express(ctx *fasthttp.RequestCtx) (route string, err error) {
	id, ok := plainRead(&ctx.Request.Header)
	if !ok {
		return "", nil
	}
	caller, ok := g.plainCaller(&ctx.Request.Header)
	if !ok {
		return "", nil
	}
	book, ok := g.books.Near(id)
	if !ok || book.Refusal != nil {
		return "", nil
	}
	// To answer is as cheap as to refuse, however late it is.
	g.metrics.backlog.late(&ctx.Request.Header)
	// Who asks Redis here does so for others too, and for 20 ms at most.
	let, err := g.admission.admit(context.Background(), ctx, caller)
	if err != nil {
		return bookPattern, err
	}
	defer let.leave()
	writeSource(ctx, book, cache.Near)
	writeBook(ctx, book)
	return bookPattern, nil
}

// plainRead reads the id of a GET or HEAD of a book without anything special.
// The path is looked at as it was written: nothing in it has two readings.
func plainRead(h *fasthttp.RequestHeader) (id int64, ok bool) {
	length := h.ContentLength() // -1: chunked, -2: not said
	if (!h.IsGet() && !h.IsHead()) || length > 0 || length == -1 || len(h.Peek(fiber.HeaderContentEncoding)) > 0 {
		return 0, false
	}
	digits, ok := bytes.CutPrefix(h.RequestURI(), []byte(bookPath))
	if !ok || len(digits) == 0 || len(digits) > longestID || digits[0] == '0' {
		return 0, false
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		id = id*10 + int64(d-'0')
	}
	switch string(h.Peek(fiber.HeaderAccept)) {
	case "", "*/*", "application/json":
		return id, true
	}
	return 0, false
}

// plainCaller is authorise for what anyone may call: nil is anonymous. It
// returns false where there is a doubt.
func (g *Gateway) plainCaller(h *fasthttp.RequestHeader) (caller *Identity, ok bool) {
	header := h.Peek(fiber.HeaderAuthorization)
	if len(header) == 0 {
		return nil, true
	}
	token, ok := bytes.CutPrefix(header, []byte("Bearer "))
	if !ok {
		return nil, false
	}
	caller = g.options.Tokens.Find(bytes.TrimSpace(token))
	return caller, caller != nil
}
