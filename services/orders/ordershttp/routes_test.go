package ordershttp_test

import (
	"context"
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
	"go.uber.org/goleak"

	"bookstore/services/orders"
	"bookstore/services/orders/ordershttp"
	"bookstore/services/orders/orderspg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/web"
	"bookstore/services/txn/participant"
)

func TestMain(m *testing.M) {
	// fasthttp keeps a clock for as long as the process lives.
	pgtest.Main(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

const id = "019aaf00-0000-7000-8000-000000000001"

// oneOrder is a store of one order that records the last filter.
type oneOrder struct{ filter orders.Filter }

func (s *oneOrder) order() orders.Order {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
	return orders.Order{
		ID: id, CustomerID: "c-1", Status: orders.Placed, TotalCents: 1998, Currency: "EUR", CreatedAt: at, UpdatedAt: at,
		Version: 1, Items: []orders.Item{{BookID: 1, Title: "Emma", Quantity: 2, UnitPriceCents: 999}},
	}
}

func (s *oneOrder) Get(_ context.Context, want string) (orders.Order, error) {
	if want != id {
		return orders.Order{}, orders.NotFound()
	}
	return s.order(), nil
}

func (s *oneOrder) List(_ context.Context, f orders.Filter) ([]orders.Order, *orders.Cursor, error) {
	s.filter = f
	if f.After != nil {
		return nil, nil, nil
	}
	return []orders.Order{s.order()}, &orders.Cursor{CreatedAt: s.order().CreatedAt, ID: id}, nil
}

func get(t *testing.T, app *fiber.App, path string) (int, string) {
	t.Helper()
	response, err := app.Test(httptest.NewRequest(http.MethodGet, path, nil), -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func newApp() (*fiber.App, *oneOrder) {
	app, store := web.New(web.Options{Service: "orders"}), &oneOrder{}
	ordershttp.Routes(app, store)
	return app, store
}

func TestAnOrderIsShownAsTheAPISays(t *testing.T) {
	app, _ := newApp()
	const want = `{"id":"` + id + `","customerId":"c-1","status":"placed",` +
		`"items":[{"bookId":1,"title":"Emma","quantity":2,"unitPriceCents":999}],"totalCents":1998,"currency":"EUR",` +
		`"createdAt":"2026-03-01T12:00:00.123456Z","updatedAt":"2026-03-01T12:00:00.123456Z","version":1}`
	if status, body := get(t, app, "/orders/"+id); status != 200 || body != want {
		t.Errorf("got %d %s", status, body)
	}
}

func TestBadRequestsAreProblems(t *testing.T) {
	app, _ := newApp()
	cases := []struct {
		path   string
		status int
		code   string
	}{
		{"/orders/019aaf00-0000-7000-8000-000000000002", 404, "order_not_found"},
		{"/orders/7", 404, "order_not_found"},
		{"/orders/%00", 404, "order_not_found"},
		{"/orders/" + id + "?x=1", 400, "unexpected_parameter"},
		{"/orders?customer=1", 400, "unexpected_parameter"},
		{"/orders?status=lost", 422, "invalid_field"},
		{"/orders?limit=0", 422, "invalid_field"},
		{"/orders?limit=101", 422, "invalid_field"},
		{"/orders?cursor=nonsense", 422, "invalid_field"},
		{"/orders?cursor=" + web.EncodeCursor(map[string]any{"at": "2026-01-01T00:00:00Z", "id": "7"}), 422, "invalid_field"},
		{"/orders?customerId=%00", 422, "invalid_field"},
		{"/orders?customerId=%ff", 422, "invalid_field"},
	}
	for _, c := range cases {
		status, body := get(t, app, c.path)
		var problem struct{ Code string }
		if err := json.Unmarshal([]byte(body), &problem); err != nil || status != c.status || problem.Code != c.code {
			t.Errorf("%s: got %d %s, want %d %s", c.path, status, body, c.status, c.code)
		}
	}
}

func TestListsPassFilterAndCursorOn(t *testing.T) {
	app, store := newApp()
	status, body := get(t, app, "/orders?customerId=c-1&status=placed&limit=7")
	var page web.List[map[string]any]
	if err := json.Unmarshal([]byte(body), &page); err != nil || status != 200 || len(page.Items) != 1 || page.NextCursor == "" {
		t.Fatalf("got %d %s", status, body)
	}
	if f := store.filter; f.CustomerID != "c-1" || f.Status != orders.Placed || f.Limit != 7 || f.After != nil {
		t.Errorf("filter %+v", f)
	}
	if status, body = get(t, app, "/orders?cursor="+page.NextCursor); status != 200 || body != `{"items":[]}` {
		t.Errorf("got %d %s", status, body)
	}
	if f := store.filter; f.After == nil || f.After.ID != id || !f.After.CreatedAt.Equal(store.order().CreatedAt) || f.Limit != 20 {
		t.Errorf("filter %+v", f)
	}
}

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

// post requires a status and, in the answer, a text.
func (s service) post(path, body string, status int, want string) {
	s.t.Helper()
	if got, text := s.do(http.MethodPost, path, body); got != status || !strings.Contains(text, want) {
		s.t.Errorf("%s %s: got %d %s, want %d %s", path, body, got, text, status, want)
	}
}

// noFailure sends any body. The database is there, so no answer may be a 5xx.
func (s service) noFailure(path, body string) {
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

// newSaga returns the path of a new saga's steps.
func newSaga() string { return "/internal/sagas/" + uuid.Must(uuid.NewV7()).String() + "/steps" }

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
	checkout, first, second := newSaga(), newSaga(), newSaga()
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
	s.post(newSaga()+"/mark_returned/do", `{"payload":`+ref+`}`, 409, `"code":"not_returnable"`)
	for range 2 {
		s.post(second+"/mark_returned/undo", `{}`, 200, `{"result":null}`)
	}
	is("paid")
	for range 2 {
		s.post(checkout+"/create_order/undo", `{}`, 200, `{"result":null}`)
	}
	is("cancelled")
	s.post(newSaga()+"/create_order/do", `{"payload":{"order":{}}}`, 422, `"field":"order.id"`)
	s.post(newSaga()+"/create_order/do", `{"payload":{"order":{"status":"paid"}}}`, 400, `"field":"payload.order.status"`)
}

// Whatever the body, a step is done or refused.
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
			saga := newSaga()
			for range 2 {
				s.noFailure(saga+step+"/do", body)
			}
			s.noFailure(saga+step+"/undo", body)
			s.post(saga+step+"/undo", `{}`, 200, `{"result":null}`)
		}
	})
}

// message is the body of a call about the orders branch.
func message(payload string) string {
	deadline := time.Now().Add(time.Minute).UTC().Format(time.RFC3339Nano)
	return fmt.Sprintf(`{"branch":"orders","branches":["books","orders"],"deadline":%q%s}`, deadline, payload)
}

// Whatever the body, a branch is prepared or refused, and can be aborted.
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
		s.noFailure(path+"/prepare", body)
		s.noFailure(path+"/abort", body)
		s.post(path+"/abort", message(""), 200, "aborted")
		s.noFailure(path+"/commit", body)
	})
}
