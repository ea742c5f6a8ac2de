package bookshttp_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"go.uber.org/goleak"

	"bookstore/services/books/bookshttp"
	"bookstore/services/books/bookspg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/web"
	"bookstore/services/txn/participant"
)

func TestMain(m *testing.M) {
	pgtest.Main(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// api is the service's app over a database of its own.
type api struct {
	t   testing.TB
	app *fiber.App
}

func open(t *testing.T) *api {
	t.Helper()
	t.Parallel()
	return openSerial(t)
}

func openSerial(t testing.TB) *api {
	t.Helper()
	pool, log := pgtest.Database(t, bookspg.Migrations), slog.New(slog.DiscardHandler)
	app := web.New(web.Options{Service: "books"})
	bookshttp.Routes(app, bookspg.New(pool), time.Now)
	bookshttp.Participate(app, participant.New(pool, "books", log, nil),
		bookshttp.Changes{Branch: bookspg.Branch, ReserveStock: bookspg.ReserveStock, Restock: bookspg.Restock})
	return &api{t, app}
}

// answer is a response with its body, read and parsed.
type answer struct {
	*http.Response
	call string
	text string
	body map[string]any
}

func (s *api) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.app.Test(r, -1)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := answer{Response: response, call: method + " " + path, text: string(text)}
	if len(text) > 0 && text[0] == '{' {
		if err := json.Unmarshal(text, &a.body); err != nil {
			s.t.Fatalf("%v in %s", err, text)
		}
	}
	return a
}

// want requires a status and, for problems, a code.
func (s *api) want(a answer, status int, code string) answer {
	s.t.Helper()
	got, _ := a.body["code"].(string)
	if a.StatusCode != status || got != code {
		s.t.Fatalf("%s: got %d %s, want %d %s: %s", a.call, a.StatusCode, got, status, code, a.text)
	}
	return a
}

// fields are the "field code" pairs of a problem.
func (a answer) fields() []string {
	var out []string
	list, _ := a.body["errors"].([]any)
	for _, e := range list {
		m, _ := e.(map[string]any)
		field, _ := m["field"].(string)
		code, _ := m["code"].(string)
		out = append(out, field+" "+code)
	}
	return out
}

// emma is a book with everything in it.
const emma = `{"sourceId":"s-1","isbn":"0-14-143958-0","title":"Emma","authors":["Jane Austen"],
	"publishedYear":1815,"language":"en-gb","priceCents":899,"currency":"GBP","quantity":3}`

// add creates a book and returns its path.
func (s *api) add(body string) string {
	s.t.Helper()
	return s.want(s.do("POST", "/books", body), 201, "").Header.Get("Location")
}
