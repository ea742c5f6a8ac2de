package stephttp_test

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

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/web"
	"bookstore/services/txn/step"
	"bookstore/services/txn/step/stephttp"
)

func TestMain(m *testing.M) {
	// fasthttp keeps a clock for as long as the process lives.
	pgtest.Main(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

var migrations = fstest.MapFS{"00001_words.sql": {Data: []byte(`-- +goose Up
create table words (word text primary key, saga text not null, step text not null);
create table step_markers (
	saga text not null, step text not null, state text not null, result jsonb,
	created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
	primary key (saga, step)
);`)}}

type payload struct {
	Word string `json:"word"`
}

var say = stephttp.Step[payload]{
	Name: "say_word",
	Do: func(ctx context.Context, tx pgx.Tx, k step.Key, p payload) (any, error) {
		switch p.Word {
		case "no":
			f := fault.New(fault.VersionMismatch, "no more words")
			f.Details = map[string]any{"left": 0}
			return nil, f
		case "busy":
			return nil, fault.New(fault.Contended, "others speak")
		}
		_, err := tx.Exec(ctx, "insert into words values ($1, $2, $3)", p.Word, k.Saga, k.Step)
		return p, err
	},
	Undo: func(ctx context.Context, tx pgx.Tx, k step.Key, result json.RawMessage) error {
		var was payload
		if err := json.Unmarshal(result, &was); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "delete from words where word = $1 and saga = $2 and step = $3", was.Word, k.Saga, k.Step)
		return err
	},
}

// nod has no result and no undo.
var nod = stephttp.Step[payload]{
	Name: "nod",
	Do:   func(context.Context, pgx.Tx, step.Key, payload) (any, error) { return nil, nil },
}

// client posts to a participant's app.
type client struct {
	t   *testing.T
	app *fiber.App
}

func (c client) post(path, body string) (status int, text string) {
	c.t.Helper()
	request := httptest.NewRequest(http.MethodPost, "/internal/sagas/"+path, strings.NewReader(body))
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

func TestAStepOverHTTP(t *testing.T) {
	t.Parallel()
	pool := pgtest.Database(t, migrations)
	app := web.New(web.Options{Service: "test"})
	p := step.New(pool, slog.New(slog.DiscardHandler), nil)
	stephttp.Route(app, p, say)
	stephttp.Route(app, p, nod)
	c := client{t, app}
	const a, b, d = "019aaf00-0000-4000-8000-00000000000a", "019aaf00-0000-4000-8000-00000000000b", "019aaf00-0000-4000-8000-00000000000d"
	yes, no := `{"payload":{"word":"yes"}}`, `{"payload":{"word":"no"}}`
	calls := []struct {
		path, body string
		status     int
		want       string // part of the answer
	}{
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
	}
	for _, call := range calls {
		status, text := c.post(call.path, call.body)
		if status != call.status || !strings.Contains(text, call.want) {
			t.Errorf("%s %s: got %d %s, want %d %s", call.path, call.body, status, text, call.status, call.want)
		}
	}
	var saga, name string
	if err := pool.QueryRow(context.Background(), "select saga, step from words").Scan(&saga, &name); err != nil || saga != d || name != "say_word" {
		t.Errorf("stored under %q %q, %v", saga, name, err)
	}
}
