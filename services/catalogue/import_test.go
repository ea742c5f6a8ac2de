package catalogue

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// shop answers as the books service does, and can be told to fail first.
type shop struct {
	mu       sync.Mutex
	books    map[string]book
	failures map[string][]int // statuses to answer first, by source id
	calls    int
}

func newShop(t *testing.T) (*shop, *Client) {
	t.Helper()
	s := &shop{books: map[string]book{}, failures: map[string][]int{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c, err := NewClient(server.URL, "secret", 4)
	if err != nil {
		t.Fatal(err)
	}
	c.backoff.First = time.Millisecond
	return s, c
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	id := r.URL.Query().Get("sourceId")
	if f := s.failures[id]; len(f) > 0 {
		s.failures[id] = f[1:]
		refuse(w, f[0], "title")
		return
	}
	var b book
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil || r.Method+r.URL.Path != "PUT/books/by-source" || r.Header.Get("Authorization") != "Bearer secret" {
		refuse(w, http.StatusBadRequest, "body")
		return
	}
	for other, o := range s.books {
		if b.ISBN != "" && o.ISBN == b.ISBN && other != id {
			refuse(w, http.StatusUnprocessableEntity, "isbn")
			return
		}
	}
	old, known := s.books[id]
	s.books[id] = b
	switch {
	case !known:
		w.WriteHeader(http.StatusCreated)
	case wireText(old) != wireText(b):
		w.Header().Set("X-Import-Changed", "title")
	}
}

func wireText(b book) string {
	text, _ := json.Marshal(b)
	return string(text)
}

func refuse(w http.ResponseWriter, status int, field string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"code":"invalid_field","detail":"no","errors":[{"field":%q,"code":"x","detail":"bad"}]}`, field)
}

func load(t *testing.T, c *Client, file string) (Summary, []string, error) {
	t.Helper()
	var reports []string
	im := &Importer{Client: c, Workers: 4, Report: func(line int, reason string) {
		reports = append(reports, fmt.Sprintf("%d %s", line, reason))
	}}
	sum, err := im.Run(t.Context(), strings.NewReader(file))
	return sum, reports, err
}

const threeBooks = header + "1,439023483,A,2001,One,eng,,\n2,,A,,,eng,,\n3,,A,2001,Three,eng,,\n"

func TestImportTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	_, c := newShop(t)
	first, reports, err := load(t, c, threeBooks)
	if err != nil || first.Created != 2 || first.Bad != 1 || first.Rows != 3 {
		t.Fatalf("first: %+v %v", first, err)
	}
	if len(reports) != 1 || reports[0] != "3 no title" {
		t.Errorf("reports %q", reports)
	}
	again, _, err := load(t, c, threeBooks)
	if err != nil || again.Unchanged != 2 || again.Created+again.Updated != 0 {
		t.Errorf("again: %+v %v", again, err)
	}
	other, _, err := load(t, c, strings.Replace(threeBooks, "Three", "Drei", 1))
	if err != nil || other.Unchanged != 1 || other.Updated != 1 {
		t.Errorf("edited: %+v %v", other, err)
	}
}

func TestImportTriesAgainWhenTheShopIsBusy(t *testing.T) {
	t.Parallel()
	s, c := newShop(t)
	s.failures["1"] = []int{429, 502, 503, 504, 500, 409}
	sum, _, err := load(t, c, threeBooks)
	if err != nil || sum.Created != 2 || s.calls != 8 {
		t.Errorf("%+v %v after %d calls", sum, err, s.calls)
	}
}

func TestImportStopsWhenTheShopGivesNoAnswer(t *testing.T) {
	t.Parallel()
	s, c := newShop(t)
	c.attempts = 3
	s.failures["1"] = []int{503, 503, 503, 503}
	_, _, err := load(t, c, threeBooks)
	if err == nil || !strings.Contains(err.Error(), "line 2 (book_id \"1\"): no answer in 3 attempts") {
		t.Errorf("error %v", err)
	}
}

func TestImportPassesOverARefusedBook(t *testing.T) {
	t.Parallel()
	s, c := newShop(t)
	s.failures["1"] = []int{422}
	sum, reports, err := load(t, c, strings.Replace(threeBooks, "439023483", "", 1))
	if err != nil || sum.Refused != 1 || sum.Created != 1 {
		t.Errorf("%+v %v", sum, err)
	}
	if got := strings.Join(reports, "\n"); !strings.Contains(got, "2 the shop refused book_id \"1\": 422 invalid_field: no; title: bad") {
		t.Errorf("reports %q", reports)
	}
}

func TestImportLeavesOutAnISBNThatAnotherBookHolds(t *testing.T) {
	t.Parallel()
	s, c := newShop(t)
	s.books["other"] = book{ISBN: "0439023483"}
	sum, _, err := load(t, c, threeBooks)
	if err != nil || sum.Created != 2 || sum.Mended[ISBNTakenDropped] != 1 || s.books["1"].ISBN != "" {
		t.Errorf("%+v %v", sum, err)
	}
}

func TestImportEndsWithItsContext(t *testing.T) {
	t.Parallel()
	_, c := newShop(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	im := &Importer{Client: c, Workers: 2, Report: func(int, string) {}}
	if _, err := im.Run(ctx, strings.NewReader(threeBooks)); err == nil {
		t.Error("no error")
	}
}

func TestNewClientRefusesAnAddressItCannotUse(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "127.0.0.1:8080", "ftp://x", "http://"} {
		if _, err := NewClient(base, "", 1); err == nil {
			t.Errorf("%q accepted", base)
		}
	}
}

// waiter is a shop that holds each call until it is let go.
func waiter(t *testing.T) (c *Client, arrived chan string, letGo chan struct{}) {
	t.Helper()
	arrived, letGo = make(chan string, 16), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- r.URL.Query().Get("sourceId")
		<-letGo
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(server.Close)
	c, err := NewClient(server.URL, "", 4)
	if err != nil {
		t.Fatal(err)
	}
	return c, arrived, letGo
}

func manyRows(n int) string {
	var b strings.Builder
	b.WriteString("book_id,title,authors\n")
	for i := range n {
		fmt.Fprintf(&b, "id-%d,Title %d,\"A, B\"\n", i, i)
	}
	return b.String()
}

// An interrupted import names a line; an import resumed from there leaves nothing out.
func TestAnInterruptedImportSaysWhereToGoOn(t *testing.T) {
	t.Parallel()
	c, arrived, letGo := waiter(t)
	ctx, interrupt := context.WithCancel(t.Context())
	type end struct {
		sum Summary
		err error
	}
	ended := make(chan end, 1)
	im := &Importer{Client: c, Workers: 3, Report: func(int, string) {}}
	go func() {
		sum, err := im.Run(ctx, strings.NewReader(manyRows(50)))
		ended <- end{sum, err}
	}()
	done := map[string]bool{}
	for range 3 {
		done[<-arrived] = true
	}
	interrupt()
	close(letGo)
	first := <-ended
	if first.err == nil || first.sum.Created != 3 || first.sum.Resume != 5 {
		t.Fatalf("stopped with %+v, %v: the calls under way are to be finished", first.sum, first.err)
	}
	s, c := newShop(t)
	second := &Importer{Client: c, Workers: 3, From: first.sum.Resume, Report: func(int, string) {}}
	sum, err := second.Run(t.Context(), strings.NewReader(manyRows(50)))
	if err != nil || sum.Rows != 50 || sum.Skipped != 3 || sum.Created != 47 || sum.Resume != 0 {
		t.Errorf("went on with %+v, %v", sum, err)
	}
	for i := range 50 {
		id := fmt.Sprint("id-", i)
		if _, loaded := s.books[id]; !loaded && !done[id] {
			t.Errorf("%s was left out", id)
		}
	}
}

// Retry-After is heeded in both forms, and never without bound.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "soon": 0,
		now.Add(9 * time.Second).Format(http.TimeFormat): 9 * time.Second, now.Add(-time.Hour).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.Header().Set("Retry-After", "86400")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	c, err := NewClient(server.URL, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(t.Context(), Entry{SourceID: "a", Title: "T", Authors: []string{"A"}}); err == nil || calls.Load() != 1 {
		t.Errorf("%d calls, %v: a shop that is away for a day is not waited for", calls.Load(), err)
	}
}
