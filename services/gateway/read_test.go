package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"bookstore/services/gateway"
)

// library answers as books does: there are two books, and a third is gone.
func library(w http.ResponseWriter, r *http.Request) {
	problem := func(status int, code string) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"type":"urn:x","title":"X","status":%d,"code":%q,"detail":"so it is","requestId":"theirs"}`, status, code)
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Header.Get("Authorization") != "" || r.Header.Get("X-Caller") != "" || r.Header.Get("If-None-Match") != "" || r.Header.Get("X-Private") != "":
		problem(http.StatusInternalServerError, "internal") // what is for all must not depend on one
	case r.URL.Path == "/books/3":
		problem(http.StatusGone, "book_gone")
	case r.URL.Path == "/books/1" && r.URL.RawQuery != "":
		problem(http.StatusBadRequest, "unexpected_parameter")
	case r.URL.Path == "/books/1":
		w.Header().Set("ETag", `"4.7"`)
		_, _ = w.Write([]byte(`{"id":1}`))
	case r.URL.Path == "/books" && r.URL.RawQuery == "limit=0":
		problem(http.StatusUnprocessableEntity, "invalid_field")
	case r.URL.Path == "/books":
		w.Header().Set("Age", "1")
		_, _ = fmt.Fprintf(w, `{"items":[%q]}`, r.URL.RawQuery)
	default:
		w.Header().Set("X-Highest-Book-Id", "3")
		problem(http.StatusNotFound, "book_not_found")
	}
}

func (a answer) headers(t *testing.T, want map[string]string) {
	t.Helper()
	for name, want := range want {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestABookIsAnsweredWithWhatCachesNeed(t *testing.T) {
	s := open(t, options{upstream: library})
	a := s.do(t, "GET", "/books/1", "", "Authorization", client, "X-Private", "1")
	a.want(t, http.StatusOK, "")
	a.headers(t, map[string]string{
		"ETag": `"4.7"`, "Cache-Control": "no-cache", "Age": "0", "X-Cache": "miss", "Content-Type": "application/json",
	})
	if a.text != `{"id":1}` {
		t.Errorf("the body became %s", a.text)
	}
	for _, tags := range []string{`"4.7"`, `W/"4.7"`, `"1.1", "4.7"`, `*`} {
		a = s.do(t, "GET", "/books/1", "", "If-None-Match", tags)
		a.want(t, http.StatusNotModified, "")
		a.headers(t, map[string]string{"ETag": `"4.7"`, "Cache-Control": "no-cache"})
		if a.text != "" {
			t.Errorf("304 with %s", a.text)
		}
	}
	s.do(t, "GET", "/books/1", "", "If-None-Match", `"4.8", "4"`).want(t, http.StatusOK, "")
	if a := s.do(t, "HEAD", "/books/1", ""); a.text != "" || a.ContentLength != 8 || a.Header.Get("ETag") != `"4.7"` {
		t.Errorf("HEAD: %q, %d bytes announced, %v", a.text, a.ContentLength, a.Header)
	}
}

func TestWhatIsNotThereIsSaidUnderTheReadersOwnRequestId(t *testing.T) {
	s := open(t, options{upstream: library})
	for path, want := range map[string]struct {
		status int
		code   string
	}{
		"/books/2": {404, "book_not_found"}, "/books/3": {410, "book_gone"}, "/books?limit=0": {422, "invalid_field"},
	} {
		a := s.do(t, "GET", path, "")
		a.want(t, want.status, want.code)
		if a.json["requestId"] != a.Header.Get("X-Request-Id") || a.json["detail"] != "so it is" || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s", path, a.text)
		}
	}
}

func TestTextThatIsNoIdReachesNobody(t *testing.T) {
	s := open(t, options{upstream: library})
	for _, id := range []string{"0", "-1", "01", "abc", "1e3", "9223372036854775808", "99999999999999999999", "%31"} {
		s.do(t, "GET", "/books/"+id, "").want(t, http.StatusNotFound, "book_not_found")
	}
	if n := s.calls.Load(); n != 0 {
		t.Errorf("%d calls reached the service", n)
	}
}

func TestTheServiceJudgesWhatDoesNotBelongInARead(t *testing.T) {
	s := open(t, options{upstream: library})
	s.do(t, "GET", "/books/1?x=1", "").want(t, http.StatusBadRequest, "unexpected_parameter")
	if a := s.do(t, "GET", "/books/1", "{}"); a.Header.Get("X-Cache") != "" {
		t.Error("a read with a body was answered out of the cache")
	}
}

func TestAListIsNearForASecond(t *testing.T) {
	s := open(t, options{upstream: library})
	want := map[string]string{"Cache-Control": "private, max-age=1", "Content-Type": "application/json", "ETag": ""}
	var sources []string
	for _, query := range []string{"q=go", "q=go", "q=%67o", "limit=5"} {
		a := s.do(t, "GET", "/books?"+query, "", "Authorization", operator)
		a.want(t, http.StatusOK, "")
		a.headers(t, want)
		if a.text != fmt.Sprintf(`{"items":[%q]}`, query) || (a.Header.Get("Age") != "1" && a.Header.Get("Age") != "2") {
			t.Errorf("%s: %s, aged %s", query, a.text, a.Header.Get("Age"))
		}
		sources = append(sources, a.Header.Get("X-Cache"))
	}
	if got := strings.Join(sources, " "); got != "miss near miss miss" {
		t.Errorf("they came from %s", got)
	}
}

// What others were shown a moment ago may lack what this reader wrote.
func TestAListWithATokenIsReadAnew(t *testing.T) {
	var seen atomic.Value
	s := open(t, options{upstream: func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("X-Consistency-Token"))
		library(w, r)
	}})
	s.do(t, "GET", "/books?q=go", "").want(t, http.StatusOK, "")
	a := s.do(t, "GET", "/books?q=go", "", "X-Consistency-Token", "AQ")
	a.want(t, http.StatusOK, "")
	a.headers(t, map[string]string{"X-Cache": "", "Age": "1"})
	if got := seen.Load(); got != "AQ" {
		t.Errorf("the service saw the token %q", got)
	}
}

func TestReadersOfOneBookShareACall(t *testing.T) {
	release := make(chan struct{})
	s := open(t, options{upstream: func(w http.ResponseWriter, r *http.Request) {
		<-release
		library(w, r)
	}})
	var reading sync.WaitGroup
	for range 50 {
		reading.Go(func() { s.do(t, "GET", "/books/1", "").want(t, http.StatusOK, "") })
	}
	close(release)
	reading.Wait()
	if n := s.calls.Load(); n > 10 {
		t.Errorf("50 readers made %d calls", n)
	}
}

func TestWhatIsCachedAnyoneMayRead(t *testing.T) {
	for _, r := range gateway.Routes() {
		cacheable := r.Method == http.MethodGet && r.Access == gateway.Anyone && r.Answer == gateway.JSON
		if r.Cache != gateway.NotCached && !cacheable {
			t.Errorf("%s %s is cached", r.Method, r.Pattern)
		}
		if book := r.Pattern == "/books/:id" && r.Method == http.MethodGet; (r.Cache == gateway.CachedBook) != book {
			t.Errorf("%s %s: the express way is for GET /books/:id", r.Method, r.Pattern)
		}
	}
}
