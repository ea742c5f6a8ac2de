package ordershttp_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"go.uber.org/goleak"

	"bookstore/services/orders"
	"bookstore/services/orders/ordershttp"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/web"
)

func TestMain(m *testing.M) {
	// fasthttp keeps a clock for as long as the process lives.
	pgtest.Main(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

const id = "019aaf00-0000-7000-8000-000000000001"

// shelf is a store of one order that records what it was asked for.
type shelf struct{ asked orders.Filter }

func (s *shelf) order() orders.Order {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
	return orders.Order{
		ID: id, CustomerID: "c-1", Status: orders.Placed, TotalCents: 1998, Currency: "EUR", CreatedAt: at, UpdatedAt: at,
		Version: 1, Items: []orders.Item{{BookID: 1, Title: "Emma", Quantity: 2, UnitPriceCents: 999}},
	}
}

func (s *shelf) Get(_ context.Context, want string) (orders.Order, error) {
	if want != id {
		return orders.Order{}, orders.NotFound()
	}
	return s.order(), nil
}

func (s *shelf) List(_ context.Context, f orders.Filter) ([]orders.Order, *orders.Cursor, error) {
	s.asked = f
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

func newApp() (*fiber.App, *shelf) {
	app, store := web.New(web.Options{Service: "orders"}), &shelf{}
	ordershttp.Routes(app, store)
	return app, store
}

func TestAnOrderHasTheContractsShape(t *testing.T) {
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
	if f := store.asked; f.CustomerID != "c-1" || f.Status != orders.Placed || f.Limit != 7 || f.After != nil {
		t.Errorf("asked for %+v", f)
	}
	if status, body = get(t, app, "/orders?cursor="+page.NextCursor); status != 200 || body != `{"items":[]}` {
		t.Errorf("got %d %s", status, body)
	}
	if f := store.asked; f.After == nil || f.After.ID != id || !f.After.CreatedAt.Equal(store.order().CreatedAt) || f.Limit != 20 {
		t.Errorf("asked for %+v", f)
	}
}
