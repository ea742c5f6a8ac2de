package lab_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"bookstore/services/platform/pg/pgtest"
)

// notes are what a proxy said; losing names what it is told to lose.
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
func TestWireTellsRequestsApart(t *testing.T) {
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

func TestHopLosesRequestsAndAnswers(t *testing.T) {
	t.Parallel()
	var served []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		served = append(served, r.URL.RequestURI()+" "+string(body))
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "tea")
	}))
	t.Cleanup(server.Close)
	for losing, want := range map[string]string{"": "418 yes tea", "POST /a/<id> before": "lost", "POST /a/<id> after": "lost"} {
		served = nil
		n := &notes{losing: losing}
		url := "http://" + newHop(t, link{"one", "other"}, strings.TrimPrefix(server.URL, "http://"), n.hold) + "/a/0123456789abcdef0123456789abcdef?b=c"
		got := "lost"
		if response, err := http.Post(url, "text/plain", strings.NewReader("body")); err == nil {
			text, _ := io.ReadAll(response.Body)
			response.Body.Close()
			got = fmt.Sprintf("%d %s %s", response.StatusCode, response.Header.Get("X-Answer"), text)
		}
		if got != want {
			t.Errorf("losing %q: %q, want %q", losing, got, want)
		}
		if came := len(served) == 1; came == strings.HasSuffix(losing, "before") || (came && served[0] != "/a/0123456789abcdef0123456789abcdef?b=c body") {
			t.Errorf("losing %q: served %q", losing, served)
		}
	}
}

// A message belongs to a run if nobody says it without a reason, or if it names something
// of the run; what is named beside that belongs to the run too.
func TestWatchTellsARunsMessages(t *testing.T) {
	t.Parallel()
	w := newWatch()
	db := link{"one", "db"}
	instance, order := uuid.NewString(), uuid.New()
	say := func(text, content string) { w.hold(message{db, text, []byte(content)}, before) }
	say("scan", instance)
	w.learned()
	seen := &sighting{}
	w.begin(seen, "key-1")
	say("scan", instance)                           // by itself
	say("insert", "key-1 "+instance)                // new
	say("insert", "key-1 "+order.String())          // again, and it names an order
	say("scan", instance+" "+order.String())        // about the order
	say("scan", "\x00\x00"+string(order[:])+"\x00") // the same in binary
	w.end()
	say("insert", "key-1")
	var got []string
	for _, p := range seen.points {
		got = append(got, fmt.Sprintf("%s %d", p.text, p.nth))
	}
	if want := []string{"insert 1", "insert 2", "scan 1", "scan 2"}; !slices.Equal(got, want) {
		t.Errorf("saw %q, want %q", got, want)
	}
}
