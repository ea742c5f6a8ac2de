package participanthttp_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/web"
	"bookstore/services/txn/participant"
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
