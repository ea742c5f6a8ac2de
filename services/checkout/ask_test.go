package checkout_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

type told struct {
	Decision string
	Branches []string
	Deadline time.Time
}

func (s *shop) ask(gid, name string) (a told) {
	s.t.Helper()
	s.send(http.MethodPost, s.url+"/internal/transactions/"+gid+"/ask", `{"branch":"`+name+`"}`).want(s.t, http.StatusOK, "").read(s.t, &a)
	return a
}

func TestAskingOverHTTP(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	s.buy("k", b, 1).want(t, http.StatusCreated, "")
	if a := s.ask(s.gid("k"), "books"); a.Decision != "commit" || len(a.Branches) != 2 || a.Deadline.IsZero() {
		t.Errorf("told %+v", a)
	}
	s.buy("none", b, 9).want(t, http.StatusConflict, "out_of_stock")
	if a := s.ask(s.gid("none"), "orders"); a.Decision != "abort" || len(a.Branches) != 2 {
		t.Errorf("told %+v", a)
	}
	pending := s.abandoned("p", b, false)
	if a := s.ask(pending.GID, "books"); a.Decision == "commit" {
		t.Errorf("told %+v", a)
	}
	s.eventually("the abort is told", func() bool { return s.ask(pending.GID, "books").Decision == "abort" })
	for path, body := range map[string]string{
		"a/ask": `{"branch":"Books"}`, "NO/ask": `{"branch":"books"}`, "b/ask": `{"branch":""}`,
	} {
		s.send(http.MethodPost, s.url+"/internal/transactions/"+path, body).want(t, http.StatusUnprocessableEntity, "invalid_field")
	}
	s.send(http.MethodPost, s.url+"/internal/transactions/a/ask", `{"branch":"books","x":1}`).want(t, http.StatusBadRequest, "malformed_request")
	s.settled()
}

// A participant was told that a gid is aborted of which nobody knew. Whoever
// comes with the key that makes this gid gets the one after it.
func TestAKeyWhoseGIDWasAskedAboutIsServed(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	for i := 1; i <= 2; i++ {
		if a := s.ask(s.gid(fmt.Sprint("k", i)), "books"); a.Decision != "abort" || time.Until(a.Deadline) < 59*time.Minute {
			t.Errorf("told %+v", a)
		}
	}
	s.buy("k1", b, 1).want(t, http.StatusCreated, "")
	first := s.buy("k2", b, 1).want(t, http.StatusCreated, "")
	if again := s.buy("k2", b, 1).want(t, http.StatusCreated, ""); again.text != first.text {
		t.Errorf("replayed %s", again.text)
	}
	s.settled()
	if s.stock(b) != 3 {
		t.Errorf("stock %d", s.stock(b))
	}
}
