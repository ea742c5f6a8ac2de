package gateway

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"bookstore/services/cache"
	"bookstore/services/cache/coherence"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/shop/kinds"
)

const (
	headerCache   = "X-Cache"
	headerHighest = "X-Highest-Book-Id" // books says it with a book that is not there
)

// unkept is an answer that is not kept for others: it goes through the cache as
// an error, to those who wait for it.
type unkept struct{ *upstreamAnswer }

func (unkept) Error() string { return "the answer is not one to keep" }

// cached answers a request of a route whose answers are kept. It returns false
// for one that is to be passed on all the same: the service has to say what it
// thinks of parameters and bodies that do not belong there.
func (g *Gateway) cached(c *fiber.Ctx, r Route, request upstreamRequest) (answered bool, err error) {
	to := request.url
	switch {
	case r.Cache == NotCached || len(request.body) > 0:
		return false, nil
	case r.Cache == CachedList && c.Get(web.HeaderConsistency) != "":
		return false, nil // a list that has to show its reader's write
	case r.Cache == CachedList:
		return true, g.readList(c, r, to)
	case to.RawQuery != "":
		return false, nil
	}
	return true, g.readBook(c, r, to)
}

func (g *Gateway) readBook(c *fiber.Ctx, r Route, to *url.URL) error {
	id, err := web.PathInt64(c, "id")
	if err != nil {
		return fault.New(kinds.BookNotFound, "there is no such book")
	}
	book, source, err := g.books.Get(web.Context(c), id, func(ctx context.Context, id int64) (cache.Filled, error) {
		answer, err := g.fetch(ctx, r, to)
		if err != nil {
			return cache.Filled{}, err
		}
		return keepBook(id, answer)
	})
	if err != nil {
		return passUnkept(c, err)
	}
	writeSource(c.Context(), book, source)
	if book.Refusal != nil {
		return book.Refusal
	}
	writeBook(c.Context(), book)
	return nil
}

func (g *Gateway) readList(c *fiber.Ctx, r Route, to *url.URL) error {
	list, source, err := g.lists.Get(web.Context(c), to.RawQuery, func(ctx context.Context, _ string) (*coherence.Entry, error) {
		begun := time.Now()
		answer, err := g.fetch(ctx, r, to)
		if err != nil {
			return nil, err
		}
		return keepList(begun, answer)
	})
	if err != nil {
		return passUnkept(c, err)
	}
	writeSource(c.Context(), list, source)
	c.Set(fiber.HeaderCacheControl, "private, max-age=1")
	c.Set(fiber.HeaderContentType, web.JSONType)
	return c.Send(list.Body)
}

// fetch asks a service for what any reader may be given: nothing of the one who
// happens to be first is passed on but the id of the request.
func (g *Gateway) fetch(ctx context.Context, r Route, to *url.URL) (*upstreamAnswer, error) {
	return g.forward(ctx, r, upstreamRequest{method: http.MethodGet, url: to, header: http.Header{
		"Accept": {web.JSONType}, web.HeaderRequestID: {web.RequestID(ctx)}, "User-Agent": {""},
	}})
}

func passUnkept(c *fiber.Ctx, err error) error {
	if answer, ok := errors.AsType[unkept](err); ok {
		return respond(c, answer.upstreamAnswer)
	}
	return err
}

// keepBook makes an entry of books' answer. A problem other than that the book
// is not there or gone is the reader's, under its own request id.
func keepBook(id int64, a *upstreamAnswer) (cache.Filled, error) {
	e := &coherence.Entry{BookID: id, Status: a.status, Body: a.body, ETag: a.header.Get("Etag")}
	if a.status == http.StatusOK {
		var ok bool
		if e.Version, e.StockVersion, ok = versions(e.ETag); ok {
			return cache.Filled{Entry: e}, nil
		}
	}
	if !a.isProblem() {
		return cache.Filled{}, unkept{a}
	}
	switch problem := a.problem(); problem.Kind {
	case kinds.BookNotFound:
		highest, _ := strconv.ParseInt(a.header.Get(headerHighest), 10, 64) // 0: not said
		return cache.Filled{Entry: e, Highest: highest}, nil
	case kinds.BookGone:
		e.Version, e.StockVersion = coherence.Gone, coherence.Gone
		return cache.Filled{Entry: e}, nil
	default:
		return cache.Filled{}, problem
	}
}

// keepList makes an entry of a list. It is as old as the service says it was
// when the call began.
func keepList(begun time.Time, a *upstreamAnswer) (*coherence.Entry, error) {
	switch {
	case a.status == http.StatusOK:
		age, _ := strconv.ParseUint(a.header.Get("Age"), 10, 16) // 0: not said
		return &coherence.Entry{Status: a.status, Body: a.body, FilledAt: begun.Add(-time.Duration(age) * time.Second)}, nil
	case a.isProblem():
		return nil, a.problem()
	}
	return nil, unkept{a}
}

// problem is the fault that a service answered.
func (a *upstreamAnswer) problem() *fault.Error {
	f := fault.ReadProblem(a.status, a.body)
	if seconds, err := strconv.ParseUint(a.header.Get("Retry-After"), 10, 16); err == nil {
		f.RetryAfter = time.Duration(seconds) * time.Second
	}
	return f
}

// versions reads a book's ETag, "version.stockVersion".
func versions(tag string) (version, stock int64, ok bool) {
	entry, stocked, _ := strings.Cut(strings.Trim(tag, `"`), ".")
	version, err := strconv.ParseInt(entry, 10, 64)
	if err != nil {
		return 0, 0, false
	}
	stock, err = strconv.ParseInt(stocked, 10, 64)
	return version, stock, err == nil
}

// writeSource tells where an answer comes from, and how old it is.
func writeSource(ctx *fasthttp.RequestCtx, c *cache.Copy, source cache.Source) {
	var digits [20]byte
	ctx.Response.Header.Set(headerCache, string(source))
	ctx.Response.Header.SetBytesV(fiber.HeaderAge, strconv.AppendInt(digits[:0], int64(c.Age()/time.Second), 10))
}

// writeBook answers with a book, or with 304 if the reader has it. The body is
// everybody's, and nobody writes into it.
func writeBook(ctx *fasthttp.RequestCtx, book *cache.Copy) {
	header := &ctx.Response.Header
	header.Set(fiber.HeaderCacheControl, "no-cache")
	header.SetBytesV(fiber.HeaderETag, book.Tag)
	if names(ctx.Request.Header.Peek(fiber.HeaderIfNoneMatch), book.Tag) {
		ctx.Response.SetStatusCode(http.StatusNotModified)
		return
	}
	header.SetContentType(web.JSONType)
	ctx.Response.SetBodyRaw(book.Body)
}

// names tells whether an If-None-Match header names the tag.
func names(header, tag []byte) bool {
	for len(header) > 0 {
		var given []byte
		given, header, _ = bytes.Cut(header, []byte(","))
		given = bytes.TrimPrefix(bytes.TrimSpace(given), []byte("W/"))
		if bytes.Equal(given, tag) || string(given) == "*" {
			return true
		}
	}
	return false
}
