package participanthttp_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"bookstore/services/platform/call"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/web"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/participant/participanthttp"
)

func TestMain(m *testing.M) {
	// fasthttp keeps a clock for as long as the process lives.
	pgtest.Main(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

var migrations = fstest.MapFS{
	"00001_branches.sql": {Data: []byte(participant.BranchSchema)},
	"00002_steps.sql":    {Data: []byte(participant.StepSchema)},
	"00003_words.sql": {Data: []byte(`-- +goose Up
create table words (word text primary key, gid text, saga text, step text);`)},
}

// message is a payload as it is sent, word as the service has it.
type message struct {
	Word string `json:"word"`
}

type word string

func read(m message) word { return word(m.Word) }

// client posts to a participant's app.
type client struct {
	*participant.Participant
	t    *testing.T
	app  *fiber.App
	pool *pgxpool.Pool
}

func newClient(t *testing.T) client {
	t.Helper()
	t.Parallel()
	pool := pgtest.Database(t, migrations)
	return client{
		Participant: participant.New(pool, "words", slog.New(slog.DiscardHandler), nil),
		t:           t, app: web.New(web.Options{Service: "test"}), pool: pool,
	}
}

func (c client) post(path, body string) (status int, text string) {
	c.t.Helper()
	request := httptest.NewRequest(http.MethodPost, "/internal/"+path, strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	response, err := c.app.Test(request, -1)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

// exchange is a request with its status and a part of its answer.
type exchange struct {
	path, body string
	status     int
	want       string
}

func (c client) each(prefix string, exchanges []exchange) {
	c.t.Helper()
	for _, x := range exchanges {
		status, text := c.post(prefix+x.path, x.body)
		if status != x.status || !strings.Contains(text, x.want) {
			c.t.Errorf("%s %s: got %d %s, want %d %s", x.path, x.body, status, text, x.status, x.want)
		}
	}
}

func write(ctx context.Context, tx pgx.Tx, gid string, w word) error {
	if w == "no" {
		f := fault.New(fault.VersionMismatch, "no more words")
		f.Details = map[string]any{"left": 0}
		return f
	}
	_, err := tx.Exec(ctx, "insert into words (word, gid) values ($1, $2)", w, gid)
	return err
}

func writeWhole(b *pgx.Batch, gid string, w word) bool {
	b.Queue("insert into words (word, gid) select $1, $2 where 1 / ($1 <> 'no')::int = 1", w, gid)
	return true
}

func TestABranchOverHTTP(t *testing.T) {
	c := newClient(t)
	participanthttp.Branch(c.app, c.Participant, participant.Change[word]{Apply: write, Whole: writeWhole}, read)
	const head = `"branch":"words","branches":["words","other"],"deadline":"`
	soon := head + time.Now().Add(time.Minute).UTC().Format(time.RFC3339Nano) + `"`
	past := head + `2001-01-01T00:00:00Z"`
	c.each("transactions/", []exchange{
		{"httpa/prepare", `{` + soon + `,"payload":{"word":"yes"}}`, 200, `"state":"prepared"`},
		{"httpa/prepare", `{` + soon + `,"payload":{"word":"yes"}}`, 200, `"state":"prepared"`},
		{"httpa/commit", `{` + soon + `}`, 200, `"state":"committed"`},
		{"httpa/commit", `{` + soon + `}`, 200, `"state":"committed"`},
		{"httpb/prepare", `{` + soon + `,"payload":{"word":"no"}}`, 412, `"code":"version_mismatch"`},
		{"httpb/prepare", `{` + soon + `,"payload":{"word":"no"}}`, 412, `"left":0`},
		{"httpb/abort", `{` + soon + `}`, 200, `"state":"aborted"`},
		{"httpb/prepare", `{` + soon + `,"payload":{"word":"late"}}`, 409, `"code":"aborted"`},
		{"httpb/commit", `{` + soon + `}`, 409, `"code":"branch_lost"`},
		{"httpc/prepare", `{` + past + `,"payload":{"word":"late"}}`, 409, `"code":"aborted"`},
		{"httpc/prepare", `{` + soon + `}`, 422, `"code":"invalid_field"`},
		{"httpc/prepare", `{` + soon + `,"payload":{"word":"x","more":1}}`, 400, `"code":"malformed_request"`},
		{"httpc/commit", `{` + soon + `,"payload":{}}`, 400, `"code":"malformed_request"`},
		{"NOT-A-GID/commit", `{` + soon + `}`, 422, `"code":"invalid_field"`},
		{"httpc/commit", `{"branch":"things","branches":[],"deadline":"2001-01-01T00:00:00Z"}`, 422, `"code":"invalid_field"`},
	})
	var gid string
	if err := c.pool.QueryRow(context.Background(), "select gid from words").Scan(&gid); err != nil || gid != "httpa" {
		t.Errorf("stored under %q, %v", gid, err)
	}
}

var say = participant.Step[word]{
	Do: func(ctx context.Context, tx pgx.Tx, k participant.Key, w word) (any, error) {
		switch w {
		case "no":
			f := fault.New(fault.VersionMismatch, "no more words")
			f.Details = map[string]any{"left": 0}
			return nil, f
		case "busy":
			return nil, fault.New(fault.Contended, "others speak")
		}
		_, err := tx.Exec(ctx, "insert into words (word, saga, step) values ($1, $2, $3)", w, k.Saga, k.Step)
		return message{string(w)}, err
	},
	Undo: func(ctx context.Context, tx pgx.Tx, k participant.Key, result json.RawMessage) error {
		var was message
		if err := json.Unmarshal(result, &was); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "delete from words where word = $1 and saga = $2 and step = $3", was.Word, k.Saga, k.Step)
		return err
	},
}

// nod has no result and no undo.
var nod = participant.Step[word]{
	Do: func(context.Context, pgx.Tx, participant.Key, word) (any, error) { return nil, nil },
}

func TestAStepOverHTTP(t *testing.T) {
	c := newClient(t)
	participanthttp.Step(c.app, "say_word", say.Handler(c.Participant), read)
	participanthttp.Step(c.app, "nod", nod.Handler(c.Participant), read)
	const a, b, d = "019aaf00-0000-4000-8000-00000000000a", "019aaf00-0000-4000-8000-00000000000b", "019aaf00-0000-4000-8000-00000000000d"
	yes, no := `{"payload":{"word":"yes"}}`, `{"payload":{"word":"no"}}`
	c.each("sagas/", []exchange{
		{a + "/steps/say_word/do", yes, 200, `{"result":{"word":`},
		{a + "/steps/say_word/do", yes, 200, `{"result":{"word":`},
		{a + "/steps/say_word/undo", `{}`, 200, `{"result":null}`},
		{a + "/steps/say_word/undo", `{}`, 200, `{"result":null}`},
		{a + "/steps/say_word/do", yes, 409, `"code":"aborted"`},
		{a + "/steps/nod/do", yes, 200, `{"result":null}`},
		{a + "/steps/nod/do", no, 200, `{"result":null}`},
		{b + "/steps/say_word/do", `{"payload":{"word":"busy"}}`, 409, `"code":"contended"`},
		{b + "/steps/say_word/do", no, 412, `"code":"version_mismatch"`},
		{b + "/steps/say_word/do", yes, 412, `"left":0`},
		{b + "/steps/nod/undo", `{}`, 200, `{"result":null}`},
		{b + "/steps/nod/do", yes, 409, `"code":"aborted"`},
		{d + "/steps/say_word/do", yes, 200, `"yes"`},
		{d + "/steps/shout/do", yes, 404, `"code":"not_found"`},
		{d + "/steps/say_word/do", `{}`, 422, `"field":"payload"`},
		{d + "/steps/say_word/do", `{"payload":null}`, 422, `"field":"payload"`},
		{d + "/steps/say_word/do", `{"payload":{"word":"x","more":1}}`, 400, `"field":"payload.more"`},
		{d + "/steps/say_word/do", `{"payload":{"word":7}}`, 400, `"field":"payload.word"`},
		{d + "/steps/say_word/do", yes + yes, 400, `"code":"malformed_request"`},
		{d + "/steps/say_word/undo", ``, 400, `"code":"malformed_request"`},
		{d + "/steps/say_word/undo", `{"payload":{}}`, 400, `"field":"payload"`},
		{"no-saga/steps/say_word/do", yes, 422, `"field":"saga"`},
		{strings.ToUpper(a) + "/steps/say_word/undo", `{}`, 422, `"field":"saga"`},
	})
	var saga, name string
	if err := c.pool.QueryRow(context.Background(), "select saga, step from words").Scan(&saga, &name); err != nil || saga != d || name != "say_word" {
		t.Errorf("stored under %q %q, %v", saga, name, err)
	}
}

// A handler of a service's own may act before its participant has seen the key.
func TestAHandlerIsGivenGoodKeysOnly(t *testing.T) {
	c := newClient(t)
	calls := 0
	participanthttp.Step(c.app, "ask_first", participant.StepHandler[word]{
		Do: func(ctx context.Context, k participant.Key, w word) (json.RawMessage, error) {
			calls++
			return c.Do(ctx, k, func(context.Context, pgx.Tx) (any, error) { return message{string(w)}, nil })
		},
		Undo: func(ctx context.Context, k participant.Key) error {
			calls++
			return c.Undo(ctx, k, nil)
		},
	}, read)
	const saga = "019aaf00-0000-4000-8000-00000000000a"
	c.each("sagas/", []exchange{
		{"no-saga/steps/ask_first/do", `{"payload":{"word":"yes"}}`, 422, `"field":"saga"`},
		{"no-saga/steps/ask_first/undo", `{}`, 422, `"field":"saga"`},
		{saga + "/steps/ask_first/do", `{}`, 422, `"field":"payload"`},
		{saga + "/steps/ask_first/do", `{"payload":{"word":"yes"}}`, 200, `{"result":{"word":"yes"}}`},
		{saga + "/steps/ask_first/undo", `{}`, 200, `{"result":null}`},
	})
	if calls != 2 {
		t.Errorf("called %d times", calls)
	}
}

// coordinator gives every query the same answer, and keeps the last request.
func coordinator(t testing.TB, status int, answer string) (participanthttp.Coordinator, *http.Request) {
	t.Helper()
	seen := &http.Request{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != `{"branch":"words"}` {
			t.Errorf("queried with %s, %v", body, err)
		}
		*seen = *r
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	client := call.New(server.URL, call.Options{Destination: "coordinator"})
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return participanthttp.NewCoordinator(client), seen
}

func TestTheCoordinatorsAnswer(t *testing.T) {
	t.Parallel()
	const rest = `,"branches":["words","other"],"deadline":"2026-01-02T03:04:05.678901Z"}`
	for _, d := range []participant.Verdict{participant.VerdictCommit, participant.VerdictAbort, participant.VerdictPending} {
		c, seen := coordinator(t, http.StatusOK, `{"decision":"`+string(d)+`"`+rest)
		v, err := c.QueryDecision(t.Context(), "g1", "words")
		if err != nil || v.Verdict != d || !slices.Equal(v.Branches, []string{"words", "other"}) || v.Deadline.Nanosecond() != 678901000 {
			t.Errorf("%s: read as %+v, %v", d, v, err)
		}
		if seen.Method != http.MethodPost || seen.URL.Path != "/internal/transactions/g1/ask" {
			t.Errorf("queried %s %s", seen.Method, seen.URL)
		}
	}
}

func TestWhatIsNoAnswerDecidesNothing(t *testing.T) {
	t.Parallel()
	for _, answer := range []struct {
		status int
		text   string
	}{
		{200, ``}, {200, `{}`}, {200, `null`}, {200, `<html>`},
		{200, `{"decision":"abort"}`}, {200, `{"decision":"aborted","deadline":"2026-01-02T03:04:05Z"}`},
		{204, ``}, {301, ``}, {404, `{"code":"not_found"}`}, {404, `{"code":"transaction_not_found"}`}, {503, `no healthy upstream`},
	} {
		c, _ := coordinator(t, answer.status, answer.text)
		if v, err := c.QueryDecision(context.Background(), "g1", "words"); err == nil {
			t.Errorf("%d %s: read as %+v", answer.status, answer.text, v)
		}
	}
}

// Whatever bytes come back: an answer is one of three, with a deadline, or none.
func FuzzAnswer(f *testing.F) {
	f.Add(`{"decision":"commit","branches":["words"],"deadline":"2026-01-02T03:04:05Z"}`)
	f.Add(`{"decision":"pending","branches":null,"deadline":"0001-01-01T00:00:00Z"}`)
	f.Add(`{"DECISION":"abort","decision":"commit","deadline":"2026-01-02T03:04:05+14:00"}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		c, _ := coordinator(t, http.StatusOK, text)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		v, err := c.QueryDecision(ctx, "g1", "words")
		switch {
		case err != nil && fault.Unknown(err):
		case err != nil:
			t.Errorf("%q became a refusal: %v", text, err)
		case v.Deadline.IsZero() || (v.Verdict != participant.VerdictCommit && v.Verdict != participant.VerdictAbort && v.Verdict != participant.VerdictPending):
			t.Errorf("%q was read as %+v", text, v)
		}
	})
}
