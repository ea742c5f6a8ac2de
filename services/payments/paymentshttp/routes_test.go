package paymentshttp_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"bookstore/services/kit/pg"
	"bookstore/services/kit/pg/pgtest"
	"bookstore/services/kit/web"
	"bookstore/services/payments/paymentshttp"
	"bookstore/services/payments/paymentspg"
)

func TestMain(m *testing.M) {
	// fasthttp keeps a clock for as long as the process lives.
	pgtest.Main(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// provider is the service over a database of its own.
type provider struct {
	t    *testing.T
	app  *fiber.App
	pool *pgxpool.Pool
}

func newProvider(t *testing.T) provider {
	t.Helper()
	t.Parallel()
	pool := pgtest.Database(t, paymentspg.Migrations)
	app := web.New(web.Options{Service: "payments"})
	now := func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	paymentshttp.Routes(app, paymentspg.New(pool), now)
	return provider{t, app, pool}
}

func (p provider) call(method, path, body string) (int, map[string]any) {
	p.t.Helper()
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	response, err := p.app.Test(request, -1)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	answer := map[string]any{}
	if err := json.Unmarshal(text, &answer); err != nil {
		p.t.Fatalf("%d %s: %v", response.StatusCode, text, err)
	}
	return response.StatusCode, answer
}

func (p provider) authorise(body string) (int, map[string]any) {
	p.t.Helper()
	return p.call(http.MethodPost, "/internal/payments/authorise", body)
}

// ledger is the number of entries, and their sum.
func (p provider) ledger() (n, sum int) {
	p.t.Helper()
	err := p.pool.QueryRow(context.Background(), "select count(*), coalesce(sum(cents), 0) from ledger_entries").Scan(&n, &sum)
	if err != nil {
		p.t.Fatal(err)
	}
	return n, sum
}

const ok = `{"key":"k1","token":"tok_ok","amountCents":1998,"currency":"EUR"}`

func TestAuthoriseIsIdempotentByKey(t *testing.T) {
	p := newProvider(t)
	status, first := p.authorise(ok)
	if status != 200 || first["state"] != "authorised" || first["amountCents"] != 1998.0 || first["token"] != nil {
		t.Fatalf("got %d %v", status, first)
	}
	if _, again := p.authorise(ok); again["id"] != first["id"] {
		t.Errorf("the repeat is %v", again)
	}
	if n, sum := p.ledger(); n != 2 || sum != 0 {
		t.Errorf("%d entries, sum %d", n, sum)
	}
	if status, got := p.call(http.MethodGet, "/internal/payments/"+first["id"].(string), ""); status != 200 || got["createdAt"] != "2026-03-01T12:00:00Z" {
		t.Errorf("got %d %v", status, got)
	}
	if status, got := p.authorise(strings.Replace(ok, "1998", "1", 1)); status != 422 || got["code"] != "idempotency_key_reused" {
		t.Errorf("another amount: %d %v", status, got)
	}
}

func TestDeclinedIsAnOutcomeWithoutEntries(t *testing.T) {
	p := newProvider(t)
	body := strings.Replace(ok, "tok_ok", "tok_decline", 1)
	_, first := p.authorise(body)
	status, again := p.authorise(body)
	if status != 200 || first["state"] != "declined" || again["id"] != first["id"] {
		t.Errorf("got %d %v, then %v", status, first, again)
	}
	if n, _ := p.ledger(); n != 0 {
		t.Errorf("%d entries", n)
	}
}

func TestTheSameKeyAtOnceMakesOnePayment(t *testing.T) {
	p := newProvider(t)
	var all sync.WaitGroup
	ids := make(chan any, 8)
	for range cap(ids) {
		all.Go(func() { _, answer := p.authorise(ok); ids <- answer["id"] })
	}
	all.Wait()
	first := <-ids
	for range cap(ids) - 1 {
		if id := <-ids; id != first {
			t.Errorf("two payments: %v and %v", first, id)
		}
	}
	if n, sum := p.ledger(); n != 2 || sum != 0 {
		t.Errorf("%d entries, sum %d", n, sum)
	}
}

func TestBadRequestsAreProblems(t *testing.T) {
	p := newProvider(t)
	for body, field := range map[string]string{
		strings.Replace(ok, "k1", "", 1):         "key",
		strings.Replace(ok, "tok_ok", "4242", 1): "token",
		strings.Replace(ok, "1998", "0", 1):      "amountCents",
		strings.Replace(ok, "EUR", "eur", 1):     "currency",
	} {
		status, answer := p.authorise(body)
		errors, _ := answer["errors"].([]any)
		if status != 422 || len(errors) != 1 || errors[0].(map[string]any)["field"] != field {
			t.Errorf("%s: got %d %v", body, status, answer)
		}
	}
	for _, id := range []string{"7", "019aaf00-0000-7000-8000-000000000001"} {
		if status, answer := p.call(http.MethodGet, "/internal/payments/"+id, ""); status != 404 || answer["code"] != "not_found" {
			t.Errorf("%s: got %d %v", id, status, answer)
		}
	}
}

func TestALedgerThatDoesNotSumToZeroIsRefused(t *testing.T) {
	p := newProvider(t)
	p.authorise(ok)
	for name, sql := range map[string]string{
		"added":   "insert into ledger_entries (payment_id, account, cents) select id, 'held', 1 from payments",
		"changed": "update ledger_entries set cents = cents - 1 where account = 'held'",
		"removed": "delete from ledger_entries where account = 'held'",
	} {
		if _, err := p.pool.Exec(context.Background(), sql); !pg.IsCheck(err, "ledger_sum") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
