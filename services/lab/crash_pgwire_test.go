package lab_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"bookstore/services/platform/pg/pgtest"
)

// wire stands between a process and its database and speaks PostgreSQL's protocol, version
// 3, far enough to separate requests.
type wire struct {
	link

	upstream string // host:port of the server
	hold     func(message, phase) bool
	listener net.Listener
	mu       sync.Mutex
	open     map[net.Conn]bool // nil once the wire is closed
	relays   sync.WaitGroup
}

// newWire listens until the test ends; address is where the process finds its database.
func newWire(t testing.TB, l link, upstream string, hold func(message, phase) bool) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{link: l, upstream: upstream, hold: hold, listener: listener, open: map[net.Conn]bool{}}
	w.relays.Go(w.accept)
	t.Cleanup(w.close)
	return listener.Addr().String()
}

func (w *wire) accept() {
	for {
		front, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.relays.Go(func() {
			defer front.Close()
			back, err := net.Dial("tcp", w.upstream)
			if err != nil {
				return
			}
			defer back.Close()
			if w.keep(front, back) {
				newRelay(w, front, back).run()
			}
			w.drop(front, back)
		})
	}
}

func (w *wire) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		return false
	}
	for _, c := range conns {
		w.open[c] = true
	}
	return true
}

func (w *wire) drop(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		delete(w.open, c)
	}
}

func (w *wire) close() {
	w.listener.Close()
	w.mu.Lock()
	for c := range w.open {
		c.Close()
	}
	w.open = nil
	w.mu.Unlock()
	w.relays.Wait()
}

// relay is one connection. Requests that were sent together are passed on one by one, each
// after the answer to the one before.
type relay struct {
	wire        *wire
	front, back net.Conn
	statements  map[string]string // the prepared ones, by name
	portals     map[string]string // what will be executed, by portal
	over        chan struct{}
}

// request is what the server answers as a whole: everything up to a Sync, or a Query.
type request struct {
	raw   []byte
	texts []string // of what it executes
	plain bool     // a part of the handshake, or the end: passed on without waiting for an answer
}

func newRelay(w *wire, front, back net.Conn) *relay {
	return &relay{
		wire: w, front: front, back: back,
		statements: map[string]string{}, portals: map[string]string{}, over: make(chan struct{}),
	}
}

func (r *relay) run() {
	requests, frames := make(chan request), make(chan []byte)
	var readers sync.WaitGroup
	readers.Go(func() { r.readFront(requests) })
	readers.Go(func() { r.readBack(frames) })
	r.pass(requests, frames)
	close(r.over)
	r.front.Close()
	r.back.Close()
	readers.Wait()
}

func (r *relay) pass(requests <-chan request, frames <-chan []byte) {
	for {
		select {
		case q, ok := <-requests:
			if !ok || !r.exchange(q, frames) {
				return
			}
		case frame, ok := <-frames: // the handshake, a notice, or the reason why the server hangs up
			if !ok {
				return
			}
			if _, err := r.front.Write(frame); err != nil {
				return
			}
		}
	}
}

// exchange passes a request on and its answer back; false ends the connection.
func (r *relay) exchange(q request, frames <-chan []byte) bool {
	m := message{link: r.wire.link, text: nameless(strings.Join(q.texts, "; ")), content: q.raw}
	watched := m.text != "" // else it executes nothing, or is a ping
	if watched && !r.wire.hold(m, before) {
		return false
	}
	if _, err := r.back.Write(q.raw); err != nil || q.plain {
		return err == nil
	}
	var answer []byte
	whole := false
	for !whole {
		frame, ok := <-frames
		if !ok {
			break
		}
		answer = append(answer, frame...)
		whole = frame[0] == 'Z'
	}
	m.content = answer
	if whole && watched && !r.wire.hold(m, after) {
		return false
	}
	_, err := r.front.Write(answer)
	return whole && err == nil
}

// readFront ends the server's side at once when the process is gone, as its own socket would.
func (r *relay) readFront(to chan<- request) {
	defer close(to)
	defer r.back.Close()
	in := bufio.NewReader(r.front)
	for q, err := r.startup(in); err == nil; q, err = r.next(in) {
		select {
		case to <- q:
		case <-r.over:
			return
		}
	}
}

func (r *relay) readBack(to chan<- []byte) {
	defer close(to)
	in := bufio.NewReader(r.back)
	for {
		frame, err := readFrame(in)
		if err != nil {
			return
		}
		select {
		case to <- frame:
		case <-r.over:
			return
		}
	}
}

// startup is the one message without a type.
func (r *relay) startup(in *bufio.Reader) (request, error) {
	head, err := in.Peek(4)
	if err != nil {
		return request{}, err
	}
	raw := make([]byte, binary.BigEndian.Uint32(head))
	_, err = io.ReadFull(in, raw)
	return request{raw: raw, plain: true}, err
}

func (r *relay) next(in *bufio.Reader) (q request, err error) {
	for {
		frame, err := readFrame(in)
		if err != nil {
			return q, err
		}
		q.raw = append(q.raw, frame...)
		switch body := frame[5:]; frame[0] {
		case 'P': // Parse: name, statement
			r.statements[text(body, 0)] = text(body, 1)
		case 'B': // Bind: portal, name
			r.portals[text(body, 0)] = r.statements[text(body, 1)]
		case 'E': // Execute: portal
			q.texts = append(q.texts, r.portals[text(body, 0)])
		case 'Q': // Query: statement
			q.texts = append(q.texts, text(body, 0))
			return q, nil
		case 'S': // Sync
			return q, nil
		case 'p', 'X': // password, Terminate
			q.plain = true
			return q, nil
		case 'C', 'D': // Close, Describe
		default:
			return q, fmt.Errorf("the wire does not know the message %q", frame[0])
		}
	}
}

// text is the nth of the zero-terminated strings that a message begins with.
func text(body []byte, n int) string {
	parts := bytes.SplitN(body, []byte{0}, n+2)
	return string(parts[min(n, len(parts)-1)])
}

// readFrame reads one message with its type and length.
func readFrame(in *bufio.Reader) ([]byte, error) {
	head, err := in.Peek(5)
	if err != nil {
		return nil, err
	}
	frame := make([]byte, 1+binary.BigEndian.Uint32(head[1:]))
	_, err = io.ReadFull(in, frame)
	return frame, err
}

// notes are what a proxy reported; losing names what it shall lose.
type notes struct {
	mu     sync.Mutex
	seen   []string
	losing string
}

func (n *notes) hold(m message, at phase) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	what := m.text + " " + string(at)
	n.seen = append(n.seen, what)
	return what != n.losing
}

func (n *notes) since(i int) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.seen[i:])
}

// through connects past a wire.
func through(ctx context.Context, t *testing.T, server *pgtest.Instance, n *notes) *pgx.Conn {
	t.Helper()
	address := newWire(t, link{"test", "db"}, server.Addr(), n.hold)
	conn, err := pgx.Connect(ctx, "postgres://postgres@"+address+"/postgres?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Every request is seen twice, with the statements that it executes, however it is sent.
func TestWireSeparatesRequests(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	n := &notes{}
	conn := through(ctx, t, pgtest.Start(t, pgtest.Options{}), n)
	var one int
	if err := conn.QueryRow(ctx, "select $1::int -- one", 1).Scan(&one); err != nil || one != 1 {
		t.Fatal(one, err)
	}
	if _, err := conn.Exec(ctx, "select 1/0"); err == nil {
		t.Error("an error did not come through")
	}
	batch := &pgx.Batch{}
	batch.Queue("begin")
	batch.Queue("select $1::text", uuid.NewString())
	batch.Queue("commit")
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		t.Error(err)
	}
	pipe := conn.PgConn().StartPipeline(ctx)
	for _, sql := range []string{"set lock_timeout = 1", "select '0123456789abcdef0123456789abcdef'", strings.Repeat(" ", 100_000) + "select 2"} {
		pipe.SendQueryParams(sql, nil, nil, nil, nil)
		pipe.SendPipelineSync()
	}
	if err := pipe.Flush(); err != nil {
		t.Fatal(err)
	}
	for syncs := 0; syncs < 3; {
		result, err := pipe.GetResults()
		if err != nil {
			t.Fatal(err)
		}
		switch result := result.(type) {
		case *pgconn.ResultReader:
			result.Read()
		case *pgconn.PipelineSync:
			syncs++
		}
	}
	if err := pipe.Close(); err != nil {
		t.Error(err)
	}
	if err := conn.Ping(ctx); err != nil {
		t.Error(err)
	}
	var want []string
	for _, text := range []string{
		"select $1::int", "select 1/0", "begin; select $1::text; commit", "set lock_timeout = 1", "select '<id>'", "select 2",
	} {
		want = append(want, text+" before", text+" after")
	}
	if got := n.since(0); !slices.Equal(got, want) {
		t.Errorf("saw %q\nwant %q", got, want)
	}
}

// What is lost before did not happen, what is lost after did; the connection ends either way.
func TestWireLosesRequestsAndAnswers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := pgtest.Start(t, pgtest.Options{})
	direct := server.Conn(t, "postgres")
	if _, err := direct.Exec(ctx, "create table lost (phase text)"); err != nil {
		t.Fatal(err)
	}
	for _, at := range []phase{before, after} {
		sql := fmt.Sprintf("insert into lost values ('%s')", at)
		conn := through(ctx, t, server, &notes{losing: sql + " " + string(at)})
		if _, err := conn.Exec(ctx, sql); err == nil || !conn.IsClosed() {
			t.Errorf("lost %s: %v", at, err)
		}
	}
	var phases []string
	if err := direct.QueryRow(ctx, "select array_agg(phase) from lost").Scan(&phases); err != nil || !slices.Equal(phases, []string{"after"}) {
		t.Errorf("these came through: %q %v", phases, err)
	}
}
