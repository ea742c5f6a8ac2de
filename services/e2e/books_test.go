//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// requireProblem checks an answer that is an RFC 9457 problem.
func requireProblem(t testing.TB, a *answer, status int, code string) problem {
	t.Helper()
	p := a.problem()
	if a.status != status || p.Code != code {
		t.Errorf("%v, want %d %s", a, status, code)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q of a problem", got)
	}
	if p.Status != a.status || p.Title == "" || p.Type == "" || p.RequestID == "" || p.RequestID != a.header.Get("X-Request-Id") {
		t.Errorf("incomplete problem %s with X-Request-Id %q", a.body, a.header.Get("X-Request-Id"))
	}
	return p
}

func TestBookIsAddedReadEditedAndDeleted(t *testing.T) {
	c := shop(t)
	body := newBook("Contract", 3)
	body["publishedYear"], body["language"], body["isbn"] = -750, "eng", freshISBN()
	var made, read, edited book
	a := c.want(t, http.StatusCreated, call{method: "POST", path: "/books", body: body}, &made)
	c.deleteLater(t, made.ID)
	path := fmt.Sprintf("/books/%d", made.ID)
	if got := a.header.Get("Location"); got != path {
		t.Errorf("Location %q, want %q", got, path)
	}
	if made.Version != 1 || made.StockVersion != 1 || made.Quantity != 3 || !made.InStock || *made.PublishedYear != -750 || made.Language != "en" {
		t.Errorf("made %+v", made)
	}

	a = c.want(t, http.StatusOK, call{method: "GET", path: path}, &read)
	tag := a.header.Get("ETag")
	if tag != `"1.1"` || read.Title != made.Title || !read.CreatedAt.Equal(made.CreatedAt) {
		t.Errorf("read %+v with ETag %s", read, tag)
	}
	a = c.want(t, http.StatusNotModified, call{method: "GET", path: path, header: map[string]string{"If-None-Match": tag}}, nil)
	if len(a.body) != 0 || a.header.Get("ETag") != tag {
		t.Errorf("304 with %q and ETag %s", a.body, a.header.Get("ETag"))
	}

	body["title"] = made.Title + ", revised"
	delete(body, "quantity")
	requireProblem(t, c.do(t, call{method: "PUT", path: path, body: body}), http.StatusPreconditionRequired, "version_required")
	stale := map[string]string{"If-Match": `"7"`}
	requireProblem(t, c.do(t, call{method: "PUT", path: path, body: body, header: stale}), http.StatusPreconditionFailed, "version_mismatch")
	// The tag of a read is good for an edit, whatever the stock does meanwhile.
	c.want(t, http.StatusOK, call{method: "POST", path: path + "/stock", body: map[string]int{"delta": 2}}, nil)
	c.want(t, http.StatusOK, call{method: "PUT", path: path, body: body, header: map[string]string{"If-Match": tag}}, &edited)
	if edited.Version != 2 || edited.StockVersion != 2 || edited.Quantity != 5 || edited.Title != body["title"] {
		t.Errorf("edited %+v", edited)
	}
	patch := map[string]any{"priceCents": 999}
	c.want(t, http.StatusOK, call{method: "PATCH", path: path, body: patch, header: map[string]string{"If-Match": `"2.2"`}}, &edited)
	if edited.Version != 3 || edited.PriceCents != 999 || edited.Title != body["title"] {
		t.Errorf("patched %+v", edited)
	}

	c.want(t, http.StatusNoContent, call{method: "DELETE", path: path}, nil)
	for _, k := range []call{
		{method: "GET", path: path},
		{method: "GET", path: path + "/availability"},
		{method: "POST", path: path + "/stock", body: map[string]int{"delta": 1}},
		buy("contract", uuid.NewString(), orderItem{BookID: made.ID, Quantity: 1}),
	} {
		requireProblem(t, c.do(t, k), http.StatusGone, "book_gone")
	}
}

// freshISBN makes an ISBN with its check digit, in a range that is not given out, so that no
// book of the shop has it but one in a thousand million of these tests'.
func freshISBN() string {
	digits := fmt.Sprintf("979%09d", uuid.New().ID()%1_000_000_000)
	sum := 0
	for i, d := range digits {
		sum += int(d-'0') * (1 + 2*(i%2))
	}
	return fmt.Sprintf("%s%d", digits, (10-sum%10)%10)
}

// listed polls until a list has this many items: lists may lag by two seconds.
func listed[T any](t testing.TB, c *client, path string, n int) (list page[T]) {
	t.Helper()
	eventually(t, 5*time.Second, path, func(context.Context) error {
		list = page[T]{}
		c.want(t, http.StatusOK, call{method: "GET", path: path}, &list)
		if len(list.Items) != n {
			return fmt.Errorf("%d items, want %d", len(list.Items), n)
		}
		return nil
	})
	return list
}

func TestStockIsNeverBelowZero(t *testing.T) {
	c := shop(t)
	b := c.addBook(t, "Stock", 2)
	stock := func(delta int) call {
		return call{method: "POST", path: fmt.Sprintf("/books/%d/stock", b.ID), body: map[string]int{"delta": delta}}
	}
	p := requireProblem(t, c.do(t, stock(-3)), http.StatusConflict, "out_of_stock")
	if len(p.Books) != 1 || p.Books[0].BookID != b.ID || p.Books[0].Available != 2 {
		t.Errorf("the problem says of the books %+v", p.Books)
	}
	c.want(t, http.StatusOK, stock(-2), nil)
	if b = c.getBook(t, b.ID); b.Quantity != 0 || b.InStock {
		t.Errorf("sold out, and yet %+v", b)
	}
	var a struct {
		BookID, Available int64
		InStock           bool
	}
	c.want(t, http.StatusOK, call{method: "GET", path: fmt.Sprintf("/books/%d/availability", b.ID)}, &a)
	if a.BookID != b.ID || a.Available != 0 || a.InStock {
		t.Errorf("availability %+v", a)
	}
	keyed := stock(5)
	keyed.header = map[string]string{"Idempotency-Key": uuid.NewString()}
	c.want(t, http.StatusOK, keyed, nil)
	if again := c.want(t, http.StatusOK, keyed, nil); again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a replay without Idempotent-Replayed: %v", again.header)
	}
	if left := c.available(t, b.ID); left != 5 {
		t.Errorf("%d in stock after one change and its replay, want 5", left)
	}
}

func TestBookBySourceIsCreatedThenUpdated(t *testing.T) {
	c := shop(t)
	put := call{method: "PUT", path: "/books/by-source/e2e-" + uuid.NewString(), body: newBook("Sourced", 4)}
	var made, again, edited book
	c.want(t, http.StatusCreated, put, &made)
	c.deleteLater(t, made.ID)
	c.want(t, http.StatusOK, put, &again)
	if again.ID != made.ID || again.Version != made.Version || !again.UpdatedAt.Equal(made.UpdatedAt) {
		t.Errorf("the same again changed %+v to %+v", made, again)
	}
	put.body = newBook("Sourced anew", 9)
	c.want(t, http.StatusOK, put, &edited)
	if edited.ID != made.ID || edited.Version != made.Version+1 || edited.Quantity != 4 {
		t.Errorf("updated to %+v; the quantity is given once and never by edit", edited)
	}
}

// Ids hold what sources put into them; a slash or dots must survive every proxy on the way.
func TestASourcesIDIsAnyText(t *testing.T) {
	c := shop(t)
	for _, id := range []string{"/works/OL1W", "10.5555/12345678", `shelf\7`, "../..", "a//b", "100 %", "%2F", "?x=1&y#z", "+", "café \u66f8\u7c4d"} {
		id += " " + uuid.NewString()
		put := call{method: "PUT", path: "/books/by-source?sourceId=" + url.QueryEscape(id), body: newBook("Sourced", 4)}
		var made, again book
		c.want(t, http.StatusCreated, put, &made)
		c.deleteLater(t, made.ID)
		c.want(t, http.StatusOK, put, &again)
		if made.SourceID != id || again.ID != made.ID || again.Version != made.Version {
			t.Errorf("%q became %+v, then %+v", id, made, again)
		}
	}
}

// What was edited by hand survives the next import, and so does a withdrawal.
func TestAnImportKeepsWhatPeopleDid(t *testing.T) {
	c := shop(t)
	put := call{method: "PUT", path: "/books/by-source?sourceId=" + uuid.NewString(), body: newBook("Sourced", 4)}
	var made, merged book
	c.want(t, http.StatusCreated, put, &made)
	path := fmt.Sprintf("/books/%d", made.ID)
	c.want(t, http.StatusOK, call{method: "PATCH", path: path, body: map[string]any{"priceCents": made.PriceCents + 1}}, nil)
	anew := newBook("Sourced anew", 4)
	put.body = anew
	answer := c.want(t, http.StatusOK, put, &merged)
	if merged.Title != anew["title"] || merged.PriceCents != made.PriceCents+1 || answer.header.Get("X-Import-Kept") != "priceCents" {
		t.Errorf("merged to %+v, kept %q", merged, answer.header.Get("X-Import-Kept"))
	}
	c.want(t, http.StatusNoContent, call{method: "DELETE", path: path}, nil)
	c.want(t, http.StatusGone, put, nil)
}

// A cursor stays valid while rows come and go and never shows a row twice.
func TestBooksArePaged(t *testing.T) {
	c := shop(t)
	author := "Pager " + uuid.NewString()[:8]
	add := func() int64 {
		body := newBook("Paged", 1)
		body["authors"] = []string{author}
		var b book
		c.want(t, http.StatusCreated, call{method: "POST", path: "/books", body: body}, &b)
		c.deleteLater(t, b.ID)
		return b.ID
	}
	want := map[int64]bool{}
	var first int64
	for i := range 7 {
		id := add()
		want[id] = true
		if i == 0 {
			first = id
		}
	}
	listed[book](t, c, "/books?author="+url.QueryEscape(author), len(want))
	query := url.Values{"author": {author}, "limit": {"3"}}
	seen, pages := map[int64]int{}, 0
	for cursor := ""; pages == 0 || cursor != ""; pages++ {
		query.Set("cursor", cursor)
		if cursor == "" {
			query.Del("cursor")
		}
		var list page[book]
		c.want(t, http.StatusOK, call{method: "GET", path: "/books?" + query.Encode()}, &list)
		for _, b := range list.Items {
			seen[b.ID]++
		}
		if cursor = list.NextCursor; pages == 0 {
			add()
			c.want(t, http.StatusNoContent, call{method: "DELETE", path: fmt.Sprintf("/books/%d", first)}, nil)
		}
		if pages > 10 {
			t.Fatal("the list never ends")
		}
	}
	for id := range want {
		if seen[id] != 1 && id != first {
			t.Errorf("book %d was listed %d times", id, seen[id])
		}
	}
	for id, n := range seen {
		if n > 1 {
			t.Errorf("book %d was listed %d times", id, n)
		}
	}
}

func TestBooksAreSearched(t *testing.T) {
	c := shop(t)
	word := "zyzzyva" + uuid.NewString()[:8]
	b := c.addBook(t, "Among the weevils: "+word, 1)
	for _, q := range []string{"q=" + strings.ToUpper(word), "q=weevils+" + word, "author=" + url.QueryEscape("E. Two") + "&sort=-price&q=" + word} {
		if list := listed[book](t, c, "/books?"+q, 1); list.Items[0].ID != b.ID {
			t.Errorf("%s finds %+v, want %q", q, list.Items, b.Title)
		}
	}
}

var madeUpID = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// The id of a request is the shop's; a client's own name for it is another field.
func TestRequestIDsAreMadeAtTheDoor(t *testing.T) {
	c := shop(t)
	for _, theirs := range []string{"sane-1.2_3", "", "with space", "<script>", fmt.Sprintf("%065d", 1)} {
		for _, path := range []string{"/books?limit=1", "/orders/1", "/nowhere"} {
			got := c.do(t, call{method: "GET", path: path, header: map[string]string{"X-Request-Id": theirs, "X-Client-Request-Id": theirs}}).header
			if id := got.Get("X-Request-Id"); id == theirs || !madeUpID.MatchString(id) {
				t.Errorf("%s: id %q was answered with %q", path, theirs, id)
			}
			if back := got.Get("X-Client-Request-Id"); back != theirs && back != "" || (theirs == "sane-1.2_3" && back == "") {
				t.Errorf("%s: the client's id %q was given back as %q", path, theirs, back)
			}
		}
	}
}
