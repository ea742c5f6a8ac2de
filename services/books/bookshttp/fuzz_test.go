package bookshttp_test

import (
	"crypto/rand"
	"strings"
	"testing"
)

// sane sends what may be anything. The store is there, so nothing may bring
// about a failure of the service's own.
func (s *shop) sane(path, body string) {
	s.t.Helper()
	if a := s.do("POST", path, body, "Content-Type", "application/json"); a.StatusCode >= 500 {
		s.t.Errorf("%s %q: %d %s", a.call, body, a.StatusCode, a.text)
	}
}

// Whatever a coordinator sends, a step is done or refused.
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
	all := openAlone(f)
	all.add(emma)
	f.Fuzz(func(t *testing.T, body string) {
		s := &shop{t, all.app}
		for _, step := range []string{"/reserve_stock", "/restock"} {
			saga := steps()
			for range 2 {
				s.sane(saga+step+"/do", body)
			}
			s.sane(saga+step+"/undo", body)
			s.want(s.do("POST", saga+step+"/undo", `{}`), 200, "")
		}
	})
}

// Whatever a coordinator sends, a branch is prepared or refused, and can be aborted.
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
	all := openAlone(f)
	all.add(emma)
	f.Fuzz(func(t *testing.T, body string) {
		s := &shop{t, all.app}
		path := "/internal/transactions/" + strings.ToLower(rand.Text())
		s.sane(path+"/prepare", body)
		s.sane(path+"/abort", body)
		s.want(s.do("POST", path+"/abort", message("")), 200, "")
		s.sane(path+"/commit", body)
	})
}
