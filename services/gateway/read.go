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
	headerHighest = "X-Highest-Book-Id" // in the answer of books that a book does not exist
)

// uncacheable is an answer that the cache must not keep. It passes through the
// cache as an error, to the requests that wait for it.
type uncacheable struct{ *upstreamAnswer }

func (uncacheable) Error() string { return "the answer is not one to keep" }

// serveCached answers a request of a route with a cache. It returns false for a
// request that must be forwarded: the service judges parameters and bodies that
// do not belong there.
func (g *Gateway) serveCached(c *fiber.Ctx, r Route, request upstreamRequest) (answered bool, err error) {
	to := request.url
	switch {
	case r.Cache == NotCached || len(request.body) > 0:
		return false, nil
	case r.Cache == CachedList && request.header.Get(web.HeaderConsistency) != "":
		return false, nil // the list must show its reader's own write
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
		return bookEntry(id, answer)
	})
	if err != nil {
		return respondUncacheable(c, err)
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
		return listEntry(begun, answer)
	})
	if err != nil {
		return respondUncacheable(c, err)
	}
	writeSource(c.Context(), list, source)
	c.Set(fiber.HeaderCacheControl, "private, max-age=1")
	c.Set(fiber.HeaderContentType, web.JSONType)
	return c.Send(list.Body)
}

// fetch gets from a service an answer for any reader. Of the request that
// happens to be first it passes on nothing but the id.
func (g *Gateway) fetch(ctx context.Context, r Route, to *url.URL) (*upstreamAnswer, error) {
	return g.forward(ctx, r, upstreamRequest{method: http.MethodGet, url: to, header: http.Header{
		"Accept": {web.JSONType}, web.HeaderRequestID: {web.RequestID(ctx)}, "User-Agent": {""},
	}})
}

func respondUncacheable(c *fiber.Ctx, err error) error {
	if answer, ok := errors.AsType[uncacheable](err); ok {
		return respond(c, answer.upstreamAnswer)
	}
	return err
}

// bookEntry makes an entry of books' answer. A problem other than that the book
// does not exist or is gone becomes the reader's own, under its request id.
func bookEntry(id int64, a *upstreamAnswer) (cache.Filled, error) {
	e := &coherence.Entry{BookID: id, Status: a.status, Body: a.body, ETag: a.header.Get("Etag")}
	if a.status == http.StatusOK {
		var ok bool
		if e.Version, e.StockVersion, ok = versions(e.ETag); ok {
			return cache.Filled{Entry: e}, nil
		}
	}
	if !a.isProblem() {
		return cache.Filled{}, uncacheable{a}
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

// listEntry makes an entry of a list. Its age counts from the beginning of the
// call, plus the age that the service states.
func listEntry(begun time.Time, a *upstreamAnswer) (*coherence.Entry, error) {
	switch {
	case a.status == http.StatusOK:
		age, _ := strconv.ParseUint(a.header.Get("Age"), 10, 16) // 0: not said
		return &coherence.Entry{Status: a.status, Body: a.body, FilledAt: begun.Add(-time.Duration(age) * time.Second)}, nil
	case a.isProblem():
		return nil, a.problem()
	}
	return nil, uncacheable{a}
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

// writeSource writes where an answer comes from and how old it is.
func writeSource(ctx *fasthttp.RequestCtx, c *cache.Copy, source cache.Source) {
	var digits [20]byte
	ctx.Response.Header.Set(headerCache, string(source))
	ctx.Response.Header.SetBytesV(fiber.HeaderAge, strconv.AppendInt(digits[:0], int64(c.Age()/time.Second), 10))
}

// writeBook answers with a book, or with 304 if the reader has it. The body is
// shared with the cache and must not be changed.
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

const (
	bookPattern = "/books/:id"
	bookPath    = "/books/"
	// longestID is the most digits that always fit an int64.
	longestID = 18
)

// Express answers the most frequent call, a book that is in the near tier, before
// routes and middleware (web.Express): it does what the route's handler does for
// such a request. Every request with anything unusual is left to the route.
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
	// The request counts for the backlog, but is not refused: an answer costs no more than a refusal.
	g.metrics.backlog.late(&ctx.Request.Header)
	// If permits must come from Redis, this waits 20 ms at most.
	admitted, err := g.admission.admit(context.Background(), ctx, caller)
	if err != nil {
		return bookPattern, err
	}
	defer admitted.done()
	writeSource(ctx, book, cache.Near)
	writeBook(ctx, book)
	return bookPattern, nil
}

// plainRead reads the id from a GET or HEAD of a book that has nothing unusual:
// no body, no encoding, no query. The path is compared as it was written.
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

// plainCaller is authorise for routes that anyone may call: nil is anonymous. It
// returns false where the route must decide.
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
