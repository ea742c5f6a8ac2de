package web

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/fault"
)

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
