package checkouthttp_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/checkout"
	"bookstore/services/checkout/checkouthttp"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txntest"
)

// willing is a shop in which every book is there and every branch agrees.
type willing struct{}

// Prepare implements twophase.Participant.
func (willing) Prepare(context.Context, twophase.Message, any) error { return nil }

// Commit implements twophase.Participant.
func (willing) Commit(context.Context, twophase.Message) error { return nil }

// Abort implements twophase.Participant.
func (willing) Abort(context.Context, twophase.Message) error { return nil }

// Quote implements checkout.Quoter.
func (willing) Quote(_ context.Context, ids []int64) (quotes []checkout.Quote, err error) {
	for _, id := range ids {
		quotes = append(quotes, checkout.Quote{BookID: id, Title: "T", UnitPriceCents: 100, Currency: "EUR"})
	}
	return quotes, nil
}

// Order implements checkout.OrderReader.
func (willing) Order(context.Context, string) (checkout.Order, error) {
	return checkout.Order{}, fault.New(kinds.OrderNotFound, "there is no such order")
}

func open(f *testing.F) *fiber.App {
	f.Helper()
	settings := twophase.DefaultSettings("test")
	engine, err := twophase.New(twophase.Dependencies{
		Store:        txntest.NewMemory(settings, time.Now),
		Participants: map[string]twophase.Participant{"books": willing{}, "orders": willing{}},
		Metrics:      twophase.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	}, settings)
	if err != nil {
		f.Fatal(err)
	}
	if err := engine.Start(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = engine.Stop(context.Background()) })
	service, err := checkout.New(checkout.Dependencies{
		Transactions: engine, Quotes: willing{}, Orders: willing{}, Clock: time.Now,
		NewID: func() (string, error) { return "01890000-0000-7000-8000-000000000000", nil },
	}, checkout.DefaultSettings())
	if err != nil {
		f.Fatal(err)
	}
	app := web.New(web.Options{})
	checkouthttp.Routes(app, service)
	return app
}

// FuzzOrders: whatever a client sends is an order that says what was asked for,
// or a refusal; never a failure of the service's own.
func FuzzOrders(f *testing.F) {
	for _, seed := range []string{
		`{"customerId":"c","items":[{"bookId":1,"quantity":1}]}`, `{"customerId":"c","items":[{"bookId":9223372036854775807,"quantity":1000}]}`,
		`{"customerId":"c","items":[{"bookId":1,"quantity":1},{"bookId":1,"quantity":1}]}`, `{"customerId":"\ud83d\ude00","items":[{"bookId":1,"quantity":-1}]}`,
		`{"customerId":" ","items":[]}`, `{"items":null}`, `{"customerId":1}`, `{"customerId":"c","items":[{"bookId":1e0,"quantity":1}]}`,
		`{"customerId":"\u202e","items":[{}]}`, `null`, `[]`, ``, `{`, "\xff", `{"customerId":"c"}{}`,
	} {
		f.Add("k", seed)
	}
	app := open(f)
	f.Fuzz(func(t *testing.T, key, body string) {
		status, text := send(t, app, "/orders", key, body)
		if status != http.StatusCreated {
			return
		}
		var asked checkout.OrderRequest
		var got checkout.Order
		if json.Unmarshal([]byte(body), &asked) != nil || json.Unmarshal([]byte(text), &got) != nil ||
			got.CustomerID != asked.CustomerID || len(got.Items) != len(asked.Items) {
			t.Fatalf("%s became %s", body, text)
		}
		for i, line := range got.Items {
			if line.BookID != asked.Items[i].BookID || line.Quantity != asked.Items[i].Quantity || line.Quantity < 1 {
				t.Fatalf("%s became %s", body, text)
			}
		}
	})
}

// FuzzAsk: a participant in doubt gets the decision, or a problem if its question is malformed.
func FuzzAsk(f *testing.F) {
	for _, seed := range [][2]string{
		{"abc", `{"branch":"books"}`}, {"ABC", `{"branch":"books"}`}, {"abc", `{"branch":""}`}, {"%20", `{}`}, {strings.Repeat("a", 65), `{"branch":"books"}`}, {"a", `{"branch":1}`},
	} {
		f.Add(seed[0], seed[1])
	}
	app := open(f)
	f.Fuzz(func(t *testing.T, gid, body string) {
		if strings.Trim(gid, "abcdefghijklmnopqrstuvwxyz0123456789ABCDEF%") != "" {
			return // not a path as it is
		}
		status, text := send(t, app, "/internal/transactions/"+gid+"/ask", "", body)
		if status == http.StatusOK && !strings.Contains(text, `"decision":"abort"`) {
			t.Fatalf("%s %s: told %s, and there is no such transaction", gid, body, text)
		}
	})
}

func send(t *testing.T, app *fiber.App, path, key, body string) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	if err != nil {
		return 0, "" // not a request
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", key)
	response, err := app.Test(r, -1)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode >= http.StatusInternalServerError {
		t.Fatalf("%s %q %q: %d %s", path, key, body, response.StatusCode, answer)
	}
	return response.StatusCode, string(answer)
}
