package branchhttp_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/web"
	"bookstore/services/txn/branch"
	"bookstore/services/txn/branch/branchhttp"
)

func TestMain(m *testing.M) {
	// fasthttp keeps a clock for as long as the process lives.
	pgtest.Main(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

var migrations = fstest.MapFS{"00001_words.sql": {Data: []byte(`-- +goose Up
create table words (word text primary key, gid text not null);
create table branch_markers (
	gid text not null, branch text not null, state text not null,
	deadline timestamptz not null, created_at timestamptz not null default now(),
	primary key (gid, branch)
);`)}}

type payload struct {
	Word string `json:"word"`
}

func say(ctx context.Context, conn *pgx.Conn, gid string, p payload) error {
	if p.Word == "no" {
		f := fault.New(fault.VersionMismatch, "no more words")
		f.Details = map[string]any{"left": 0}
		return f
	}
	_, err := conn.Exec(ctx, "insert into words values ($1, $2)", p.Word, gid)
	return err
}

func sayWhole(b *pgx.Batch, gid string, p payload) bool {
	b.Queue("insert into words select $1, $2 where 1 / ($1 <> 'no')::int = 1", p.Word, gid)
	return true
}

// client posts to a participant's app.
type client struct {
	t   *testing.T
	app *fiber.App
}

func (c client) post(path, body string) (int, map[string]any) {
	c.t.Helper()
	request := httptest.NewRequest(http.MethodPost, "/internal/transactions/"+path, strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	response, err := c.app.Test(request, -1)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	answer := map[string]any{}
	if err := json.Unmarshal(text, &answer); err != nil {
		c.t.Fatalf("%d %s: %v", response.StatusCode, text, err)
	}
	return response.StatusCode, answer
}

func TestABranchOverHTTP(t *testing.T) {
	t.Parallel()
	pool := pgtest.Database(t, migrations)
	app := web.New(web.Options{Service: "test"})
	branchhttp.Routes(app, branch.New(pool, "words", slog.New(slog.DiscardHandler), nil), branch.Change[payload]{Apply: say, Whole: sayWhole})
	c := client{t, app}
	const head = `"branch":"words","branches":["words","other"],"deadline":"`
	soon := head + time.Now().Add(time.Minute).UTC().Format(time.RFC3339Nano) + `"`
	past := head + `2001-01-01T00:00:00Z"`
	steps := []struct {
		path, body string
		status     int
		want       string // state or code
	}{
		{"httpa/prepare", `{` + soon + `,"payload":{"word":"yes"}}`, 200, "prepared"},
		{"httpa/prepare", `{` + soon + `,"payload":{"word":"yes"}}`, 200, "prepared"},
		{"httpa/commit", `{` + soon + `}`, 200, "committed"},
		{"httpa/commit", `{` + soon + `}`, 200, "committed"},
		{"httpb/prepare", `{` + soon + `,"payload":{"word":"no"}}`, 412, "version_mismatch"},
		{"httpb/abort", `{` + soon + `}`, 200, "aborted"},
		{"httpb/prepare", `{` + soon + `,"payload":{"word":"late"}}`, 409, "aborted"},
		{"httpb/commit", `{` + soon + `}`, 409, "branch_lost"},
		{"httpc/prepare", `{` + past + `,"payload":{"word":"late"}}`, 409, "aborted"},
		{"httpc/prepare", `{` + soon + `}`, 422, "invalid_field"},
		{"httpc/prepare", `{` + soon + `,"payload":{"word":"x","more":1}}`, 400, "malformed_request"},
		{"httpc/commit", `{` + soon + `,"payload":{}}`, 400, "malformed_request"},
		{"NOT-A-GID/commit", `{` + soon + `}`, 422, "invalid_field"},
		{"httpc/commit", `{"branch":"books","branches":[],"deadline":"2001-01-01T00:00:00Z"}`, 422, "invalid_field"},
	}
	for _, s := range steps {
		status, answer := c.post(s.path, s.body)
		got := answer["state"]
		if code, ok := answer["code"]; ok {
			got = code
		}
		if status != s.status || got != s.want {
			t.Errorf("%s %s: got %d %v, want %d %s", s.path, s.body, status, answer, s.status, s.want)
		}
		if s.want == "version_mismatch" && answer["left"] != 0.0 {
			t.Errorf("the details are lost: %v", answer)
		}
	}
	var gid string
	if err := pool.QueryRow(context.Background(), "select gid from words").Scan(&gid); err != nil || gid != "httpa" {
		t.Errorf("stored under %q, %v", gid, err)
	}
}
