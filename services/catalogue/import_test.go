package catalogue

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// shop answers as the books service does, and can be told to fail first.
type shop struct {
	mu       sync.Mutex
	books    map[string]book
	changed  map[string]time.Time
	failures map[string][]int // statuses to answer first, by source id
	calls    int
}

func newShop(t *testing.T) (*shop, *Client) {
	t.Helper()
	s := &shop{books: map[string]book{}, changed: map[string]time.Time{}, failures: map[string][]int{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c, err := NewClient(server.URL, "secret", 4)
	if err != nil {
		t.Fatal(err)
	}
	c.backoff = time.Millisecond
	return s, c
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	id, _ := strings.CutPrefix(r.URL.Path, "/books/by-source/")
	if f := s.failures[id]; len(f) > 0 {
		s.failures[id] = f[1:]
		refuse(w, f[0], "title")
		return
	}
	var b book
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil || r.Method != http.MethodPut || r.Header.Get("Authorization") != "Bearer secret" {
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
	if !known || fmt.Sprint(wireText(old)) != wireText(b) {
		s.books[id], s.changed[id] = b, time.Now()
	}
	if !known {
		w.WriteHeader(http.StatusCreated)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"id": 1, "updatedAt": s.changed[id]})
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
	s, c := newShop(t)
	first, reports, err := load(t, c, threeBooks)
	if err != nil || first.Created != 2 || first.Bad != 1 || first.Rows != 3 {
		t.Fatalf("first: %+v %v", first, err)
	}
	if len(reports) != 1 || reports[0] != "3 no title" {
		t.Errorf("reports %q", reports)
	}
	s.age(time.Minute)
	again, _, err := load(t, c, threeBooks)
	if err != nil || again.Unchanged != 2 || again.Created+again.Updated != 0 {
		t.Errorf("again: %+v %v", again, err)
	}
	other, _, err := load(t, c, strings.Replace(threeBooks, "Three", "Drei", 1))
	if err != nil || other.Unchanged != 1 || other.Updated != 1 {
		t.Errorf("edited: %+v %v", other, err)
	}
}

// age moves every change into the past.
func (s *shop) age(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.changed {
		s.changed[id] = s.changed[id].Add(-d)
	}
}

func TestImportTriesAgainWhenTheShopIsBusy(t *testing.T) {
	t.Parallel()
	s, c := newShop(t)
	s.failures["1"] = []int{429, 502, 503, 504}
	sum, _, err := load(t, c, threeBooks)
	if err != nil || sum.Created != 2 || s.calls != 6 {
		t.Errorf("%+v %v after %d calls", sum, err, s.calls)
	}
}

func TestImportStopsWhenTheShopGivesNoAnswer(t *testing.T) {
	t.Parallel()
	s, c := newShop(t)
	c.attempts = 3
	s.failures["1"] = []int{503, 503, 503, 503}
	_, _, err := load(t, c, threeBooks)
	if err == nil || !strings.Contains(err.Error(), "line 2 (book_id 1): no answer in 3 attempts") {
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
	if got := strings.Join(reports, "\n"); !strings.Contains(got, "2 the shop refused book_id 1: 422 invalid_field: no; title: bad") {
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
