package web

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/fault"
)

// Streams are the limits of answers that go on for as long as they take.
type Streams struct {
	Limit     int           // at once in one process; 0 means 128
	Heartbeat time.Duration // between signs of life in a stream of events; 0 means 10 s
	// PieceTimeout bounds writing one piece to a client; 0 means 5 s, which is within every service's ShutdownTimeout.
	PieceTimeout time.Duration
	// Life bounds a stream; the client reconnects with Last-Event-ID. 0 means 5 min.
	Life time.Duration
}

func (s Streams) withDefaults() Streams {
	if s.Limit == 0 {
		s.Limit = 128
	}
	if s.Heartbeat == 0 {
		s.Heartbeat = 10 * time.Second
	}
	if s.PieceTimeout == 0 {
		s.PieceTimeout = 5 * time.Second
	}
	if s.Life == 0 {
		s.Life = 5 * time.Minute
	}
	return s
}

// Stream answers with what produce writes, each piece at once, until produce
// returns. Its context carries what the request's carries but not its
// deadline: it ends when the client goes away, the service stops listening, or
// after Streams.Life.
// An error of produce is logged; to the client the stream just ends, for its
// status is long sent. Beyond Streams.Limit it refuses with fault.Overloaded,
// and only then produce does not run.
//
// The caller sets status and headers before. Nothing of c may be used in
// produce: by then c may belong to another request.
func Stream(c *fiber.Ctx, produce func(ctx context.Context, w io.Writer) error) error {
	return stream(c, nil, produce)
}

// stream is Stream with heartbeats.
func stream(c *fiber.Ctx, beat []byte, produce func(context.Context, io.Writer) error) error {
	s := serverOf(c)
	if _, err := Body(c, 0); err != nil { // or it would be in the way of the watch over the connection
		return err
	}
	select {
	case s.slots <- struct{}{}:
	default:
		return fault.New(fault.Overloaded, "too many streams at once: come back a little later")
	}
	s.metrics.streams.Inc()
	ctx, end := context.WithTimeout(context.WithoutCancel(Context(c)), s.Streams.Life)
	// The request's own watch over the connection (below) reads from it, so that
	// no other request can follow.
	c.Set(fiber.HeaderConnection, "close")
	c.Response().ImmediateHeaderFlush = true
	f := &flow{
		server: s, ctx: ctx, end: end, conn: c.Context().Conn(), stopping: c.Context().Done(),
		pieces: make(chan []byte), beat: beat,
	}
	f.begin(produce)
	c.Context().SetBodyStream(f, -1)
	return nil
}

// flow is one open stream. The connection's goroutine reads from it and sends; produce writes to it in a goroutine of
// its own.
type flow struct {
	server   *server
	ctx      context.Context
	end      context.CancelFunc
	conn     net.Conn
	stopping <-chan struct{} // closed when the server stops
	beat     []byte          // nil: none

	pieces  chan []byte // closed when the work is done
	rest    []byte      // of a piece that is being sent
	working sync.WaitGroup
	over    sync.Once
}

// Read gives the server what is to be sent next, and the time to do so in: the
// server's own time-out would be that of the whole answer.
func (f *flow) Read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		piece, ok := f.next()
		if !ok {
			return 0, io.EOF
		}
		f.rest = piece
	}
	_ = f.conn.SetWriteDeadline(time.Now().Add(f.server.Streams.PieceTimeout))
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// next waits for a piece, or for the end.
func (f *flow) next() ([]byte, bool) {
	var idle <-chan time.Time
	if f.beat != nil {
		timer := time.NewTimer(f.server.Streams.Heartbeat)
		defer timer.Stop()
		idle = timer.C
	}
	select {
	case piece, more := <-f.pieces:
		return piece, more
	case <-idle:
		return f.beat, true
	case <-f.stopping:
	case <-f.ctx.Done():
	}
	return nil, false
}

// Write hands a piece over, when the one before is on its way.
func (f *flow) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	select {
	case f.pieces <- bytes.Clone(p):
		return len(p), nil
	case <-f.ctx.Done():
		return 0, f.ctx.Err()
	}
}

// begin starts the work and the watch over the client.
func (f *flow) begin(produce func(context.Context, io.Writer) error) {
	f.working.Go(func() {
		defer close(f.pieces)
		if err := f.run(produce); err != nil && f.ctx.Err() == nil {
			f.server.Log.LogAttrs(f.ctx, slog.LevelWarn, "stream broken off", slog.String("error", err.Error()))
		}
	})
	// Tests without a network connection have no client that could go away.
	if _, network := f.conn.(*net.TCPConn); network {
		_ = f.conn.SetReadDeadline(time.Time{})
		f.working.Go(f.watch)
	}
}

// run puts a barrier around produce: a panic here would end the process.
func (f *flow) run(produce func(context.Context, io.Writer) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return produce(f.ctx, f)
}

// watch ends the stream when the client closes its connection. A write would
// tell too, but later, and only when there is something to write.
func (f *flow) watch() {
	defer f.end()
	_, _ = io.Copy(io.Discard, f.conn)
}

// Close ends the work and waits for it. The server calls it when the answer
// is sent or cannot be.
func (f *flow) Close() error {
	f.over.Do(func() {
		f.end()
		_ = f.conn.SetReadDeadline(time.Now())
		f.working.Wait()
		f.server.metrics.streams.Dec()
		<-f.server.slots
	})
	return nil
}

// EventsType is the content type of server-sent events.
const EventsType = "text/event-stream"

// heartbeat is a comment of the event stream format, which clients ignore.
var heartbeat = []byte(":\n\n")

// Event is one server-sent event.
type Event struct {
	ID   int64  // its number in the stream, from 1; a client that comes back names the last it has seen
	Name string // without line breaks
	Data any    // sent as JSON
}

// Events answers with the events that produce sends, and heartbeats between them, until produce returns: see Stream. A
// request that is to be refused (for its LastEventID, or because its subject does not exist) must be refused before.
//
// Clients reconnect by themselves after any end, with Last-Event-ID. A client that has the last event of a finished
// subject gets 204, which ends that.
func Events(c *fiber.Ctx, produce func(ctx context.Context, send func(Event) error) error) error {
	c.Set(fiber.HeaderContentType, EventsType)
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set("X-Accel-Buffering", "no")
	return stream(c, heartbeat, func(ctx context.Context, w io.Writer) error {
		return produce(ctx, func(e Event) error {
			data, err := Encode(e.Data)
			if err == nil {
				_, err = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.ID, e.Name, data)
			}
			return err
		})
	})
}

// LastEventID is the id of the last event that the client has received; 0 on its first connection.
func LastEventID(c *fiber.Ctx) (int64, error) {
	text := c.Get("Last-Event-ID")
	if text == "" {
		return 0, nil
	}
	id, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		f := fault.New(fault.MalformedRequest, "Last-Event-ID: must be the id of an event")
		f.Fields = []fault.Field{{Field: "Last-Event-ID", Code: "out_of_range", Detail: "must be a non-negative integer"}}
		return 0, f
	}
	return int64(id), nil
}
