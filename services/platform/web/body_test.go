package web_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

// lengthOf answers with the length of the body.
func lengthOf(c *fiber.Ctx) error {
	body, err := web.Body(c, 0)
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, len(body))
}

// raw sends text on a connection of its own, and leaves it open.
func raw(t *testing.T, base, text string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// status reads an answer from a raw connection.
func status(t *testing.T, conn net.Conn) (status int, closes bool, text string) {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Close, string(body)
}

func TestABodyIsReadOnlyByAHandlerThatCallsBody(t *testing.T) {
	t.Parallel()
	app := web.New(web.Options{})
	app.Post("/refuses", func(*fiber.Ctx) error { return fault.New(fault.Forbidden, "") })
	app.Post("/reads", lengthOf)
	base, _ := listen(t, app)
	for path, want := range map[string]int{"/refuses": 403, "/nowhere": 404} {
		begun := time.Now()
		conn := raw(t, base, "POST "+path+" HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
		got, closes, text := status(t, conn)
		if got != want || !closes || time.Since(begun) > 4*time.Second {
			t.Errorf("%s: an unfinished body was answered %d %s, closing %t after %v", path, got, text, closes, time.Since(begun))
		}
	}
	conn := raw(t, base, "POST /reads HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
	if got, _, text := status(t, conn); got != 413 {
		t.Errorf("a length above the limit was answered %d %s", got, text)
	}
}

// What is left of a body must not be taken for the next request.
func TestARefusedBodyIsNoRequest(t *testing.T) {
	t.Parallel()
	app := web.New(web.Options{})
	app.Post("/refuses", func(*fiber.Ctx) error { return fault.New(fault.Forbidden, "") })
	app.Post("/reads", lengthOf)
	app.Get("/inner", func(*fiber.Ctx) error { t.Error("the body was served"); return nil })
	base, _ := listen(t, app)
	inner := "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, body := range []string{
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(inner), inner),
		fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(inner), inner),
		fmt.Sprintf("X-Declared-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(inner), inner),
		fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\n\r\n%s", len(inner), inner),
	} {
		conn := raw(t, base, "POST /refuses HTTP/1.1\r\nHost: a\r\n"+body+
			"POST /reads HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
		reader := bufio.NewReader(conn)
		for _, want := range []int{403, 200} {
			response, err := http.ReadResponse(reader, nil)
			if err == nil && response.StatusCode == http.StatusContinue {
				response, err = http.ReadResponse(reader, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				t.Error(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%q: got %d, want %d", body, response.StatusCode, want)
			}
		}
	}
}

func TestASlowBodyEnds(t *testing.T) {
	t.Parallel()
	app := web.New(web.Options{BodyTimeout: 300 * time.Millisecond})
	app.Post("/", lengthOf)
	base, _ := listen(t, app)
	for _, kind := range []string{"Content-Length: 1000", "Transfer-Encoding: chunked"} {
		conn := raw(t, base, "POST / HTTP/1.1\r\nHost: a\r\n"+kind+"\r\n\r\n")
		ended := make(chan struct{})
		go func() { // a byte at a time, or a chunk of one
			defer close(ended)
			piece := "1\r\nx\r\n"
			if strings.HasPrefix(kind, "Content") {
				piece = "x"
			}
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for range 500 {
				if _, err := io.WriteString(conn, piece); err != nil {
					return
				}
				<-tick.C
			}
		}()
		begun := time.Now()
		got, closes, text := status(t, conn)
		if got != 400 || !closes || time.Since(begun) > 3*time.Second {
			t.Errorf("%s: answered %d %s after %v", kind, got, text, time.Since(begun))
		}
		within(t, "the writer is cut off", ended)
	}
}

// All bodies share a budget; when it is spent, others get 503, and it is
// whole again once they are answered.
func TestBodiesShareABudget(t *testing.T) {
	t.Parallel()
	app := web.New(web.Options{BodyBudget: 10 << 10, BodyTimeout: time.Minute})
	release, reading := make(chan struct{}), make(chan struct{}, 2)
	app.Post("/held", func(c *fiber.Ctx) error {
		if _, err := web.Body(c, 0); err != nil {
			return err
		}
		reading <- struct{}{}
		<-release
		return nil
	})
	app.Post("/", lengthOf)
	base, _ := listen(t, app)
	body := strings.Repeat("x", 4<<10)
	post := fmt.Sprintf("HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	held := []net.Conn{raw(t, base, "POST /held "+post), raw(t, base, "POST /held "+post)}
	for range held {
		within(t, "both are being answered", reading)
	}
	if got, _, text := status(t, raw(t, base, "POST / "+post)); got != 503 || !strings.Contains(text, `"overloaded"`) {
		t.Errorf("beyond the budget: %d %s", got, text)
	}
	close(release)
	for _, conn := range held {
		if got, _, text := status(t, conn); got != 200 {
			t.Errorf("within the budget: %d %s", got, text)
		}
	}
	if got, _, text := status(t, raw(t, base, "POST / "+post)); got != 200 {
		t.Errorf("afterwards: %d %s", got, text)
	}
}

// The attack: unfinished bodies by the hundred, each of which says that it is a
// megabyte. Memory stays flat, and others are served.
func TestUnfinishedBodiesTakeNoMemory(t *testing.T) {
	app := web.New(web.Options{})
	app.Post("/notes", lengthOf)
	base, _ := listen(t, app)
	part := strings.Repeat("x", 900_000)
	for name, head := range map[string]string{
		"no such path":     "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
		"a path that is":   "POST /notes HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
		"in chunks":        "POST /notes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nf4240\r\n",
		"in chunks, wrong": "POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nf4240\r\n",
		"a lying length":   "POST /notes HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			text := head + part
			if strings.Contains(head, "60000") {
				text = head + part[:59_000]
			}
			before := heap()
			for range 128 {
				conn := raw(t, base, head)
				// The server need not take it all, and may have closed.
				_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
				_, _ = io.WriteString(conn, text[len(head):])
			}
			// The bodies that are being read have a budget of 8 MiB.
			if grown := int64(heap()) - int64(before); grown > 16<<20 {
				t.Errorf("the heap grew by %d KiB", grown>>10)
			}
			got, _, answer := status(t, raw(t, base, "GET /ready HTTP/1.1\r\nHost: a\r\n\r\n"))
			if got != 200 {
				t.Errorf("another was answered %d %s", got, answer)
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
