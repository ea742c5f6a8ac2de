package bookshttp_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestPathsAndMethodsAreRefused(t *testing.T) {
	s := open(t)
	path := s.add(emma)
	for call, want := range map[string]string{
		"GET /books/abc": "404 book_not_found", "GET /books/0": "404 book_not_found", "GET /books/-1": "404 book_not_found",
		"GET /books/99999999999999999999": "404 book_not_found", "GET /books/2": "404 book_not_found", "DELETE /books/2": "404 book_not_found",
		"GET /books/%00": "404 book_not_found", "GET /books/1%20or%201": "404 book_not_found", "GET /books/x/availability": "404 book_not_found",
		"GET " + path + "?x=1": "400 unexpected_parameter", "GET " + path + "/availability?q=1": "400 unexpected_parameter",
		"GET /books?page=2": "400 unexpected_parameter", "GET /books?limit=0": "422 invalid_field", "GET /books?sort=colour": "422 invalid_field",
		"GET /books?cursor=zzz": "422 invalid_field", "GET /books?q=%00": "422 invalid_field", "GET /books?language=%3F": "422 invalid_field",
		"POST " + path: "405 method_not_allowed", "DELETE /books": "405 method_not_allowed", "GET " + path + "/stock": "405 method_not_allowed",
		"GET /bookss": "404 not_found",
	} {
		method, path, _ := strings.Cut(call, " ")
		status, code, _ := strings.Cut(want, " ")
		got := s.do(method, path, "")
		if got.Status[:3] != status || got.body["code"] != code {
			t.Errorf("%s: got %d %s, want %s", call, got.StatusCode, got.text, want)
		}
	}
	s.want(s.do("POST", "/books", "<book/>", "Content-Type", "application/xml"), 415, "unsupported_media_type")
	s.want(s.do("POST", "/books", `{"title":"`+strings.Repeat("x", 10<<20)+`"}`), 413, "body_too_large")
	s.want(s.do("GET", "/books", "", "Accept", "text/html"), 406, "not_acceptable")
}

// message is the body of a call about the books branch.
func message(payload string) string {
	deadline := time.Now().Add(time.Minute).UTC().Format(time.RFC3339Nano)
	if payload != "" {
		payload = `,"payload":` + payload
	}
	return fmt.Sprintf(`{"branch":"books","branches":["books","orders"],"deadline":%q%s}`, deadline, payload)
}

func reserve(quantity, cents int) string {
	return message(fmt.Sprintf(`{"action":"reserve","orderId":"o","lines":[{"bookId":1,"quantity":%d,"unitPriceCents":%d}]}`, quantity, cents))
}

func TestABranchHoldsItsCopiesUntilTheDecision(t *testing.T) {
	s := open(t)
	path := s.add(emma)
	left := func(want float64) {
		t.Helper()
		if got := s.do("GET", path+"/availability", ""); got.body["available"] != want {
			t.Errorf("got %s, want %v", got.text, want)
		}
	}
	for range 2 { // repeated, nothing is taken twice
		s.want(s.do("POST", "/internal/transactions/g1/prepare", reserve(2, 899)), 200, "")
	}
	left(3)
	s.want(s.do("POST", path+"/stock", `{"delta":-1}`), 409, "contended")
	for range 2 {
		s.want(s.do("POST", "/internal/transactions/g1/commit", message("")), 200, "")
	}
	left(1)
	s.want(s.do("POST", "/internal/transactions/g2/prepare", reserve(1, 899)), 200, "")
	s.want(s.do("POST", "/internal/transactions/g2/abort", message("")), 200, "")
	left(1)
	s.want(s.do("POST", "/internal/transactions/g2/prepare", reserve(1, 899)), 409, "aborted")
}

func TestABranchRefusesWithWhatTheCustomerMustKnow(t *testing.T) {
	s := open(t)
	s.add(emma)
	short := s.want(s.do("POST", "/internal/transactions/g1/prepare", reserve(9, 899)), 409, "out_of_stock")
	if got := fmt.Sprint(short.body["books"]); got != "[map[available:3 bookId:1]]" {
		t.Errorf("got %s", got)
	}
	repriced := s.want(s.do("POST", "/internal/transactions/g2/prepare", reserve(1, 1)), 409, "price_changed")
	if got := fmt.Sprint(repriced.body["books"]); got != "[map[bookId:1 unitPriceCents:899]]" {
		t.Errorf("got %s", got)
	}
}

// newSaga returns the path of a new saga's steps.
func newSaga() string { return "/internal/sagas/" + uuid.Must(uuid.NewV7()).String() + "/steps" }

func TestACheckoutAndAReturnMoveStock(t *testing.T) {
	s := open(t)
	path := s.add(emma)
	left := func(want float64) {
		t.Helper()
		if got := s.do("GET", path+"/availability", ""); got.body["available"] != want {
			t.Errorf("got %s, want %v", got.text, want)
		}
	}
	const lines = `{"payload":{"orderId":"o","lines":[{"bookId":1,"quantity":2,"unitPriceCents":899}]}}`
	saga := newSaga()
	for range 2 { // repeated, nothing is taken twice
		if a := s.want(s.do("POST", saga+"/reserve_stock/do", lines), 200, ""); a.text != `{"result":null}` {
			t.Errorf("got %s", a.text)
		}
	}
	left(1)
	s.want(s.do("POST", newSaga()+"/reserve_stock/do", lines), 409, "out_of_stock")
	for range 2 {
		s.want(s.do("POST", saga+"/reserve_stock/undo", `{}`), 200, "")
	}
	left(3)
	s.want(s.do("POST", saga+"/reserve_stock/do", lines), 409, "aborted")
	saga = newSaga()
	for range 2 {
		s.want(s.do("POST", saga+"/restock/do", `{"payload":{"orderId":"o","lines":[{"bookId":1,"quantity":2}]}}`), 200, "")
	}
	left(5)
}

func TestARefusedCheckoutTellsWhatTheCustomerMustKnowEachTime(t *testing.T) {
	s := open(t)
	s.add(emma)
	const lines = `{"payload":{"orderId":"o","lines":[{"bookId":1,"quantity":%d,"unitPriceCents":%d}]}}`
	short, repriced, bad := newSaga(), newSaga(), newSaga()
	for range 2 {
		a := s.want(s.do("POST", short+"/reserve_stock/do", fmt.Sprintf(lines, 9, 899)), 409, "out_of_stock")
		if got := fmt.Sprint(a.body["books"]); got != "[map[available:3 bookId:1]]" {
			t.Errorf("got %s", got)
		}
		a = s.want(s.do("POST", repriced+"/reserve_stock/do", fmt.Sprintf(lines, 1, 1)), 409, "price_changed")
		if got := fmt.Sprint(a.body["books"]); got != "[map[bookId:1 unitPriceCents:899]]" {
			t.Errorf("got %s", got)
		}
		a = s.want(s.do("POST", bad+"/reserve_stock/do", fmt.Sprintf(lines, 0, 1)), 422, "invalid_field")
		if got := fmt.Sprint(a.fields()); got != "[lines[0].quantity out_of_range]" {
			t.Errorf("got %s", got)
		}
	}
}

// noFailure sends any body. The database is there, so no answer may be a 5xx.
func (s *api) noFailure(path, body string) {
	s.t.Helper()
	if a := s.do("POST", path, body, "Content-Type", "application/json"); a.StatusCode >= 500 {
		s.t.Errorf("%s %q: %d %s", a.call, body, a.StatusCode, a.text)
	}
}

// Whatever the body, a step is done or refused.
func FuzzSteps(f *testing.F) {
	for _, seed := range []string{
		`{"payload":{"orderId":"o","lines":[{"bookId":1,"quantity":1,"unitPriceCents":899}]}}`,
		`{"payload":{"orderId":"o","lines":[{"bookId":1,"quantity":1}]}}`,
		`{"payload":{"orderId":"o","lines":[{"bookId":-1,"quantity":1000000,"unitPriceCents":-9223372036854775808},{"bookId":9223372036854775807,"quantity":1}]}}`,
		`{"payload":{"orderId":"\ud83d\udcda","lines":[{"bookId":1,"quantity":1},{"bookId":1,"quantity":1}]}}`,
		`{"payload":{"lines":[]}}`, `{"payload":{"lines":[{}]}}`, `{"payload":{"lines":null}}`, `{"payload":{}}`, `{"payload":null}`,
		`{"payload":{"lines":[{"bookId":1e0,"quantity":1.5}]}}`, `{"payload":{"orderId":"\u0000"}}`, `{"payload":{"orderId":"\ud800"}}`,
		`{}`, `[]`, `null`, `{"payload":`, "", "\xff", `{"payload":{}}{}`, `{"payload":{"orderId":1}}`, `{"Payload":{}}`,
	} {
		f.Add(seed)
	}
	all := openSerial(f)
	all.add(emma)
	f.Fuzz(func(t *testing.T, body string) {
		s := &api{t, all.app}
		for _, step := range []string{"/reserve_stock", "/restock"} {
			saga := newSaga()
			for range 2 {
				s.noFailure(saga+step+"/do", body)
			}
			s.noFailure(saga+step+"/undo", body)
			s.want(s.do("POST", saga+step+"/undo", `{}`), 200, "")
		}
	})
}

// Whatever the body, a branch is prepared or refused, and can be aborted.
func FuzzBranch(f *testing.F) {
	for _, seed := range []string{
		reserve(1, 899), reserve(-1, 0), message(`{"action":"restock","lines":[{"bookId":1,"quantity":1}]}`),
		message(`{"action":"steal","lines":[{"bookId":1,"quantity":1}]}`), message(`{}`), message(`null`), message(""),
		`{"branch":"books","branches":null,"deadline":"9999-12-31T23:59:59.999999999Z","payload":{"action":"reserve","lines":[{"bookId":1,"quantity":1,"unitPriceCents":899}]}}`,
		`{"branch":"books","branches":[],"deadline":"0000-01-01T00:00:00Z","payload":{"action":"reserve","lines":[{"bookId":1,"quantity":1}]}}`,
		`{"branch":"books","deadline":"0001-01-01T00:00:00Z","payload":{}}`,
		`{"branch":"books","branches":[],"deadline":"0000-01-01T00:00:00+23:59"}`, `{"branch":"books","branches":[],"deadline":"9999-12-31T23:59:59-23:59"}`,
		`{"branch":"","branches":[""],"deadline":"never"}`, `{"branch":"orders"}`, `{}`, `[]`, "", "\xff", `{"branch":"books"`,
	} {
		f.Add(seed)
	}
	all := openSerial(f)
	all.add(emma)
	f.Fuzz(func(t *testing.T, body string) {
		s := &api{t, all.app}
		path := "/internal/transactions/" + strings.ToLower(rand.Text())
		s.noFailure(path+"/prepare", body)
		s.noFailure(path+"/abort", body)
		s.want(s.do("POST", path+"/abort", message("")), 200, "")
		s.noFailure(path+"/commit", body)
	})
}
