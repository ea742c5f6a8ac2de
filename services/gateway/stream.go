package gateway

import (
	"context"
	"io"
	"mime"
	"net/http"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/web"
)

// largestPiece is how many bytes of a stream are passed on at once.
const largestPiece = 4 << 10

// openStream is send for calls that are answered with a stream. ctx bounds the
// call until the answer's headers have come; the stream outlives it.
func (g *Gateway) openStream(ctx context.Context, r upstreamRequest) (*upstreamAnswer, error) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	release := context.AfterFunc(ctx, end)
	response, err := g.roundTrip(life, r)
	switch {
	case err != nil:
		end()
		return nil, err
	case response.StatusCode != http.StatusOK || !isEvents(response.Header):
		defer end()
		return readAll(ctx, response)
	case !release():
		_ = response.Body.Close()
		return nil, callError(ctx, ctx.Err())
	}
	return &upstreamAnswer{
		status: response.StatusCode, header: response.Header, stream: stream{response.Body, end},
	}, nil
}

func isEvents(header http.Header) bool {
	given, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && given == web.EventsType
}

// stream is a body; closing it ends its request.
type stream struct {
	io.ReadCloser
	end context.CancelFunc
}

func (s stream) Close() error {
	s.end()
	return s.ReadCloser.Close()
}

// serveStream serves a call that is answered with a stream. It counts as one of its
// client's streams until it is closed.
func (g *Gateway) serveStream(c *fiber.Ctx, r Route, caller *Identity, admitted ticket) error {
	if err := admitted.beginStream(); err != nil {
		admitted.done()
		return err
	}
	begun := false
	defer func() {
		if !begun {
			admitted.endStream()
		}
	}()
	request, err := g.request(c, r, caller)
	if err != nil {
		return err
	}
	answer, err := g.forward(web.Context(c), r, request)
	if err != nil {
		return err
	}
	if answer.stream == nil {
		return respond(c, answer)
	}
	respondHead(c, answer)
	err = relay(c, answer.stream, admitted.endStream)
	begun = err == nil
	return err
}

// relay answers with an upstream's stream, each piece when it comes. Unless it
// returns an error, it calls closed at the stream's end.
func relay(c *fiber.Ctx, from io.ReadCloser, closed func()) error {
	err := web.Stream(c, func(ctx context.Context, w io.Writer) error {
		defer closed()
		over := context.AfterFunc(ctx, func() { _ = from.Close() })
		defer over()
		defer func() { _ = from.Close() }()
		_, err := io.CopyBuffer(w, from, make([]byte, largestPiece))
		return err
	})
	if err != nil {
		_ = from.Close()
	}
	return err
}
