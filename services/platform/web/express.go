package web

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"bookstore/services/platform/requestinfo"
)

// Express answers requests before the routes and the middleware, which cost more than a cached answer. It returns the
// pattern of the route that it stands for, with an error if that is the answer; or "" for a request that it leaves
// unchanged to the routes. It must keep nothing of a request.
//
// Request id, problems, metrics, access log and panic recovery work as on a route. Bodies, deadline and everything else
// are up to the Express function.
type Express func(*fasthttp.RequestCtx) (route string, err error)

// takeExpress calls express before the app's handler.
func (s *server) takeExpress(express Express, app *fiber.App, usual fasthttp.RequestHandler) fasthttp.RequestHandler {
	if express == nil {
		return usual
	}
	return func(ctx *fasthttp.RequestCtx) {
		start := time.Now()
		route, err := tryExpress(express, ctx)
		switch {
		case err != nil:
			s.fail(app, ctx, err)
		case route == "":
			usual(ctx)
			return
		}
		s.finishExpress(ctx, route, start)
	}
}

func tryExpress(express Express, ctx *fasthttp.RequestCtx) (route string, err error) {
	defer func() {
		if p := recover(); p != nil {
			ctx.Response.Reset()
			route, err = unmatched, panicked(p)
		}
	}()
	return express(ctx)
}

func (s *server) finishExpress(ctx *fasthttp.RequestCtx, route string, start time.Time) {
	header := &ctx.Response.Header
	if len(header.Peek(HeaderRequestID)) == 0 {
		s.nameRequest(ctx)
	}
	writeDefaults(header)
	if s.ServedBy != "" {
		header.Set(HeaderServedBy, s.ServedBy)
	}
	if !s.Ready() {
		header.SetConnectionClose()
	}
	r := seen{method: methodName(ctx.Method()), route: route, status: ctx.Response.StatusCode(), took: time.Since(start)}
	background := context.Background()
	if s.Log.Enabled(background, r.level()) {
		r.path, r.client = string(ctx.Path()), string(header.Peek(HeaderClientRequestID))
		background = requestinfo.With(background, requestinfo.Info{RequestID: string(header.Peek(HeaderRequestID))})
	}
	s.account(background, r)
}

// methodName is the name without a copy.
func methodName(method []byte) string {
	for _, known := range fiber.DefaultMethods {
		if string(method) == known {
			return known
		}
	}
	return string(method)
}
