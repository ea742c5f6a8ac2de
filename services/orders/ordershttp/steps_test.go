package ordershttp_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"bookstore/services/orders/ordershttp"
	"bookstore/services/orders/orderspg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/web"
	"bookstore/services/txn/participant"
)

// service is the whole app over a database of its own.
type service struct {
	t   testing.TB
	app *fiber.App
}

func open(t testing.TB) service {
	t.Helper()
	pool, log := pgtest.Database(t, orderspg.Migrations), slog.New(slog.DiscardHandler)
	app := web.New(web.Options{Service: "orders"})
	ordershttp.Routes(app, orderspg.New(pool))
	ordershttp.Participate(app, participant.New(pool, "orders", log, nil), ordershttp.Changes{
		Branch: orderspg.Branch, CreateOrder: orderspg.CreateOrder, MarkReturned: orderspg.MarkReturned,
	})
	return service{t, app}
}

func (s service) do(method, path, body string) (status int, text string) {
	s.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	response, err := s.app.Test(r, -1)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

// post wants a status and, in the answer, a text.
func (s service) post(path, body string, status int, want string) {
	s.t.Helper()
	if got, text := s.do(http.MethodPost, path, body); got != status || !strings.Contains(text, want) {
		s.t.Errorf("%s %s: got %d %s, want %d %s", path, body, got, text, status, want)
	}
}

// sane sends what may be anything. The store is there, so nothing may bring
// about a failure of the service's own.
func (s service) sane(path, body string) {
	s.t.Helper()
	if status, text := s.do(http.MethodPost, path, body); status >= 500 {
		s.t.Errorf("%s %q: %d %s", path, body, status, text)
	}
}

func (s service) status(id string) string {
	s.t.Helper()
	var order struct{ Status string }
	if status, text := s.do(http.MethodGet, "/orders/"+id, ""); status != 200 || json.Unmarshal([]byte(text), &order) != nil {
		s.t.Fatalf("got %d %s", status, text)
	}
	return order.Status
}

// steps is the path of a new saga's steps.
func steps() string { return "/internal/sagas/" + uuid.Must(uuid.NewV7()).String() + "/steps" }

func orderJSON(id string) string {
	return `{"id":"` + id + `","customerId":"c","items":[{"bookId":1,"title":"Emma","quantity":2,"unitPriceCents":999}],` +
		`"totalCents":1998,"currency":"EUR","createdAt":"2026-03-01T12:00:00Z"}`
}

func TestACheckoutAndAReturnChangeAnOrder(t *testing.T) {
	t.Parallel()
	s, ref := open(t), `{"orderId":"`+id+`"}`
	is := func(want string) {
		t.Helper()
		if got := s.status(id); got != want {
			t.Errorf("the order is %s, want %s", got, want)
		}
	}
	checkout, first, second := steps(), steps(), steps()
	s.post(first+"/mark_returned/do", `{"payload":`+ref+`}`, 404, "order_not_found")
	for range 2 {
		s.post(checkout+"/create_order/do", `{"payload":{"order":`+orderJSON(id)+`}}`, 200, id)
	}
	is("paid")
	s.post(first+"/mark_returned/do", `{"payload":`+ref+`}`, 404, "order_not_found") // for good
	for range 2 {
		s.post(second+"/mark_returned/do", `{"payload":`+ref+`}`, 200, id)
	}
	is("returned")
	s.post(steps()+"/mark_returned/do", `{"payload":`+ref+`}`, 409, `"code":"not_returnable"`)
	for range 2 {
		s.post(second+"/mark_returned/undo", `{}`, 200, `{"result":null}`)
	}
	is("paid")
	for range 2 {
		s.post(checkout+"/create_order/undo", `{}`, 200, `{"result":null}`)
	}
	is("cancelled")
	s.post(steps()+"/create_order/do", `{"payload":{"order":{}}}`, 422, `"field":"order.id"`)
	s.post(steps()+"/create_order/do", `{"payload":{"order":{"status":"paid"}}}`, 400, `"field":"payload.order.status"`)
}

// Whatever a coordinator sends, a step is done or refused.
func FuzzSteps(f *testing.F) {
	for _, seed := range []string{
		`{"payload":{"order":` + orderJSON("019aaf00-0000-7000-8000-000000000002") + `}}`,
		`{"payload":{"order": ` + orderJSON("019aaf00-0000-7000-8000-000000000002") + `}}`,
		`{"payload":{"orderId":"019aaf00-0000-7000-8000-000000000002"}}`,
		`{"payload":{"order":{"id":"019aaf00-0000-7000-8000-000000000003","customerId":"\ud83d\udcda","items":[{"bookId":9223372036854775807,"title":"\u0001","quantity":1000000,"unitPriceCents":9223372036854}],"totalCents":9223372036854000000,"currency":"XTS","createdAt":"0000-01-01T00:00:00+23:59"}}}`,
		`{"payload":{"order":{"id":"019aaf00-0000-7000-8000-000000000004","customerId":"c","items":[{"bookId":1,"title":"a","quantity":1},{"bookId":1,"title":"a","quantity":1}],"currency":"EUR","createdAt":"9999-12-31T23:59:59.999999999-23:59"}}}`,
		`{"payload":{"order":{"id":"019AAF00-0000-7000-8000-000000000004"}}}`,
		`{"payload":{"order":null}}`, `{"payload":{"order":{"items":[null]}}}`, `{"payload":{"order":{"createdAt":"now"}}}`, `{"payload":{}}`,
		`{"payload":null}`, `{"payload":{"orderId":"\u0000"}}`, `{"payload":{"orderId":"\ud800"}}`, `{"payload":{"orderId":"7"}}`,
		`{}`, `[]`, `null`, `{"payload":`, "", "\xff", `{"payload":{}}{}`,
	} {
		f.Add(seed)
	}
	all := open(f)
	f.Fuzz(func(t *testing.T, body string) {
		s := service{t, all.app}
		for _, step := range []string{"/create_order", "/mark_returned"} {
			saga := steps()
			for range 2 {
				s.sane(saga+step+"/do", body)
			}
			s.sane(saga+step+"/undo", body)
			s.post(saga+step+"/undo", `{}`, 200, `{"result":null}`)
		}
	})
}

// message is the body of a call about the orders branch.
func message(payload string) string {
	deadline := time.Now().Add(time.Minute).UTC().Format(time.RFC3339Nano)
	return fmt.Sprintf(`{"branch":"orders","branches":["books","orders"],"deadline":%q%s}`, deadline, payload)
}

// Whatever a coordinator sends, a branch is prepared or refused, and can be aborted.
func FuzzBranch(f *testing.F) {
	for _, payload := range []string{
		`{"action":"place","order":` + orderJSON("019aaf00-0000-7000-8000-000000000005") + `}`,
		`{"action":"cancel","orderId":"019aaf00-0000-7000-8000-000000000005","at":"2026-03-01T12:00:00Z"}`,
		`{"action":"cancel","orderId":"019aaf00-0000-7000-8000-000000000005","at":"0000-01-01T00:00:00+23:59"}`,
		`{"action":"cancel","orderId":"019aaf00-0000-7000-8000-000000000005"}`,
		`{"action":"steal"}`, `{"action":"place"}`, `{"action":"place","order":null}`, `{}`, `null`, `[]`,
	} {
		f.Add(message(`,"payload":` + payload))
	}
	for _, seed := range []string{
		`{"branch":"orders","branches":null,"deadline":"9999-12-31T23:59:59.999999999Z","payload":{"action":"place"}}`,
		`{"branch":"orders","branches":[],"deadline":"0000-01-01T00:00:00Z","payload":{"action":"place"}}`,
		`{"branch":"orders","branches":[],"deadline":"0000-01-01T00:00:00+23:59"}`, `{"branch":"orders","branches":[],"deadline":"9999-12-31T23:59:59-23:59"}`,
		`{"branch":"","branches":[""],"deadline":"never"}`, `{"branch":"books"}`, `{}`, `[]`, "", "\xff", `{"branch":"orders"`,
	} {
		f.Add(seed)
	}
	all := open(f)
	f.Fuzz(func(t *testing.T, body string) {
		s := service{t, all.app}
		path := "/internal/transactions/" + strings.ToLower(rand.Text())
		s.sane(path+"/prepare", body)
		s.sane(path+"/abort", body)
		s.post(path+"/abort", message(""), 200, "aborted")
		s.sane(path+"/commit", body)
	})
}
