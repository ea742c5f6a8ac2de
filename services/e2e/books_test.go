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

	"bookstore/services/shoptest"
)

// requireProblem checks an answer that is an RFC 9457 problem.
func requireProblem(t testing.TB, a *shoptest.Answer, status int, code string) shoptest.Problem {
	t.Helper()
	p := a.Problem()
	if a.Status != status || p.Code != code {
		t.Errorf("%v, want %d %s", a, status, code)
	}
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q of a problem", got)
	}
	if p.Status != a.Status || p.Title == "" || p.Type == "" || p.RequestID == "" || p.RequestID != a.Header.Get("X-Request-Id") {
		t.Errorf("incomplete problem %s with X-Request-Id %q", a.Body, a.Header.Get("X-Request-Id"))
	}
	return p
}

func TestBookIsAddedReadEditedAndDeleted(t *testing.T) {
	c := shoptest.Shop(t)
	body := shoptest.NewBook("Contract", 3)
	body["publishedYear"], body["language"], body["isbn"] = -750, "eng", freshISBN()
	var made, read, edited shoptest.Book
	a := c.Want(t, http.StatusCreated, shoptest.Call{Method: "POST", Path: "/books", Body: body}, &made)
	c.DeleteLater(t, made.ID)
	path := fmt.Sprintf("/books/%d", made.ID)
	if got := a.Header.Get("Location"); got != path {
		t.Errorf("Location %q, want %q", got, path)
	}
	if made.Version != 1 || made.StockVersion != 1 || made.Quantity != 3 || !made.InStock || *made.PublishedYear != -750 || made.Language != "en" {
		t.Errorf("made %+v", made)
	}

	a = c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: path}, &read)
	tag := a.Header.Get("ETag")
	if tag != `"1.1"` || read.Title != made.Title || !read.CreatedAt.Equal(made.CreatedAt) {
		t.Errorf("read %+v with ETag %s", read, tag)
	}
	a = c.Want(t, http.StatusNotModified, shoptest.Call{Method: "GET", Path: path, Header: map[string]string{"If-None-Match": tag}}, nil)
	if len(a.Body) != 0 || a.Header.Get("ETag") != tag {
		t.Errorf("304 with %q and ETag %s", a.Body, a.Header.Get("ETag"))
	}

	body["title"] = made.Title + ", revised"
	delete(body, "quantity")
	requireProblem(t, c.Do(t, shoptest.Call{Method: "PUT", Path: path, Body: body}), http.StatusPreconditionRequired, "version_required")
	stale := map[string]string{"If-Match": `"7"`}
	requireProblem(t, c.Do(t, shoptest.Call{Method: "PUT", Path: path, Body: body, Header: stale}), http.StatusPreconditionFailed, "version_mismatch")
	// The tag of a read is good for an edit, whatever the stock does meanwhile.
	c.Want(t, http.StatusOK, shoptest.Call{Method: "POST", Path: path + "/stock", Body: map[string]int{"delta": 2}}, nil)
	c.Want(t, http.StatusOK, shoptest.Call{Method: "PUT", Path: path, Body: body, Header: map[string]string{"If-Match": tag}}, &edited)
	if edited.Version != 2 || edited.StockVersion != 2 || edited.Quantity != 5 || edited.Title != body["title"] {
		t.Errorf("edited %+v", edited)
	}
	patch := map[string]any{"priceCents": 999}
	c.Want(t, http.StatusOK, shoptest.Call{Method: "PATCH", Path: path, Body: patch, Header: map[string]string{"If-Match": `"2.2"`}}, &edited)
	if edited.Version != 3 || edited.PriceCents != 999 || edited.Title != body["title"] {
		t.Errorf("patched %+v", edited)
	}

	c.Want(t, http.StatusNoContent, shoptest.Call{Method: "DELETE", Path: path}, nil)
	for _, k := range []shoptest.Call{
		{Method: "GET", Path: path},
		{Method: "GET", Path: path + "/availability"},
		{Method: "POST", Path: path + "/stock", Body: map[string]int{"delta": 1}},
		shoptest.Buy("contract", uuid.NewString(), shoptest.OrderItem{BookID: made.ID, Quantity: 1}),
	} {
		requireProblem(t, c.Do(t, k), http.StatusGone, "book_gone")
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
func listed[T any](t testing.TB, c *shoptest.Client, path string, n int) (list shoptest.Page[T]) {
	t.Helper()
	shoptest.Eventually(t, 5*time.Second, path, func(context.Context) error {
		list = shoptest.Page[T]{}
		c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: path}, &list)
		if len(list.Items) != n {
			return fmt.Errorf("%d items, want %d", len(list.Items), n)
		}
		return nil
	})
	return list
}

func TestStockIsNeverBelowZero(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Stock", 2)
	stock := func(delta int) shoptest.Call {
		return shoptest.Call{Method: "POST", Path: fmt.Sprintf("/books/%d/stock", b.ID), Body: map[string]int{"delta": delta}}
	}
	p := requireProblem(t, c.Do(t, stock(-3)), http.StatusConflict, "out_of_stock")
	if len(p.Books) != 1 || p.Books[0].BookID != b.ID || p.Books[0].Available != 2 {
		t.Errorf("the problem says of the books %+v", p.Books)
	}
	c.Want(t, http.StatusOK, stock(-2), nil)
	if b = c.GetBook(t, b.ID); b.Quantity != 0 || b.InStock {
		t.Errorf("sold out, and yet %+v", b)
	}
	var a struct {
		BookID, Available int64
		InStock           bool
	}
	c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: fmt.Sprintf("/books/%d/availability", b.ID)}, &a)
	if a.BookID != b.ID || a.Available != 0 || a.InStock {
		t.Errorf("availability %+v", a)
	}
	keyed := stock(5)
	keyed.Header = map[string]string{"Idempotency-Key": uuid.NewString()}
	c.Want(t, http.StatusOK, keyed, nil)
	if again := c.Want(t, http.StatusOK, keyed, nil); again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a replay without Idempotent-Replayed: %v", again.Header)
	}
	if left := c.Available(t, b.ID); left != 5 {
		t.Errorf("%d in stock after one change and its replay, want 5", left)
	}
}

func TestBookBySourceIsCreatedThenUpdated(t *testing.T) {
	c := shoptest.Shop(t)
	put := shoptest.Call{Method: "PUT", Path: "/books/by-source/e2e-" + uuid.NewString(), Body: shoptest.NewBook("Sourced", 4)}
	var made, again, edited shoptest.Book
	c.Want(t, http.StatusCreated, put, &made)
	c.DeleteLater(t, made.ID)
	c.Want(t, http.StatusOK, put, &again)
	if again.ID != made.ID || again.Version != made.Version || !again.UpdatedAt.Equal(made.UpdatedAt) {
		t.Errorf("the same again changed %+v to %+v", made, again)
	}
	put.Body = shoptest.NewBook("Sourced anew", 9)
	c.Want(t, http.StatusOK, put, &edited)
	if edited.ID != made.ID || edited.Version != made.Version+1 || edited.Quantity != 4 {
		t.Errorf("updated to %+v; the quantity is given once and never by edit", edited)
	}
}

// Ids hold what sources put into them; a slash or dots must survive every proxy on the way.
func TestASourcesIDIsAnyText(t *testing.T) {
	c := shoptest.Shop(t)
	for _, id := range []string{"/works/OL1W", "10.5555/12345678", `shelf\7`, "../..", "a//b", "100 %", "%2F", "?x=1&y#z", "+", "café \u66f8\u7c4d"} {
		id += " " + uuid.NewString()
		put := shoptest.Call{Method: "PUT", Path: "/books/by-source?sourceId=" + url.QueryEscape(id), Body: shoptest.NewBook("Sourced", 4)}
		var made, again shoptest.Book
		c.Want(t, http.StatusCreated, put, &made)
		c.DeleteLater(t, made.ID)
		c.Want(t, http.StatusOK, put, &again)
		if made.SourceID != id || again.ID != made.ID || again.Version != made.Version {
			t.Errorf("%q became %+v, then %+v", id, made, again)
		}
	}
}

// What was edited by hand survives the next import, and so does a withdrawal.
func TestAnImportKeepsWhatPeopleDid(t *testing.T) {
	c := shoptest.Shop(t)
	put := shoptest.Call{Method: "PUT", Path: "/books/by-source?sourceId=" + uuid.NewString(), Body: shoptest.NewBook("Sourced", 4)}
	var made, merged shoptest.Book
	c.Want(t, http.StatusCreated, put, &made)
	path := fmt.Sprintf("/books/%d", made.ID)
	c.Want(t, http.StatusOK, shoptest.Call{Method: "PATCH", Path: path, Body: map[string]any{"priceCents": made.PriceCents + 1}}, nil)
	anew := shoptest.NewBook("Sourced anew", 4)
	put.Body = anew
	answer := c.Want(t, http.StatusOK, put, &merged)
	if merged.Title != anew["title"] || merged.PriceCents != made.PriceCents+1 || answer.Header.Get("X-Import-Kept") != "priceCents" {
		t.Errorf("merged to %+v, kept %q", merged, answer.Header.Get("X-Import-Kept"))
	}
	c.Want(t, http.StatusNoContent, shoptest.Call{Method: "DELETE", Path: path}, nil)
	c.Want(t, http.StatusGone, put, nil)
}

// A cursor stays valid while rows come and go and never shows a row twice.
func TestBooksArePaged(t *testing.T) {
	c := shoptest.Shop(t)
	author := "Pager " + uuid.NewString()[:8]
	add := func() int64 {
		body := shoptest.NewBook("Paged", 1)
		body["authors"] = []string{author}
		var b shoptest.Book
		c.Want(t, http.StatusCreated, shoptest.Call{Method: "POST", Path: "/books", Body: body}, &b)
		c.DeleteLater(t, b.ID)
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
	listed[shoptest.Book](t, c, "/books?author="+url.QueryEscape(author), len(want))
	query := url.Values{"author": {author}, "limit": {"3"}}
	seen, pages := map[int64]int{}, 0
	for cursor := ""; pages == 0 || cursor != ""; pages++ {
		query.Set("cursor", cursor)
		if cursor == "" {
			query.Del("cursor")
		}
		var list shoptest.Page[shoptest.Book]
		c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: "/books?" + query.Encode()}, &list)
		for _, b := range list.Items {
			seen[b.ID]++
		}
		if cursor = list.NextCursor; pages == 0 {
			add()
			c.Want(t, http.StatusNoContent, shoptest.Call{Method: "DELETE", Path: fmt.Sprintf("/books/%d", first)}, nil)
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
	c := shoptest.Shop(t)
	word := "zyzzyva" + uuid.NewString()[:8]
	b := c.AddBook(t, "Among the weevils: "+word, 1)
	for _, q := range []string{"q=" + strings.ToUpper(word), "q=weevils+" + word, "author=" + url.QueryEscape("E. Two") + "&sort=-price&q=" + word} {
		if list := listed[shoptest.Book](t, c, "/books?"+q, 1); list.Items[0].ID != b.ID {
			t.Errorf("%s finds %+v, want %q", q, list.Items, b.Title)
		}
	}
}

var madeUpID = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// The id of a request is the shop's; a client's own name for it is another field.
func TestRequestIDsAreMadeAtTheDoor(t *testing.T) {
	c := shoptest.Shop(t)
	for _, theirs := range []string{"sane-1.2_3", "", "with space", "<script>", fmt.Sprintf("%065d", 1)} {
		for _, path := range []string{"/books?limit=1", "/orders/1", "/nowhere"} {
			got := c.Do(t, shoptest.Call{Method: "GET", Path: path, Header: map[string]string{"X-Request-Id": theirs, "X-Client-Request-Id": theirs}}).Header
			if id := got.Get("X-Request-Id"); id == theirs || !madeUpID.MatchString(id) {
				t.Errorf("%s: id %q was answered with %q", path, theirs, id)
			}
			if back := got.Get("X-Client-Request-Id"); back != theirs && back != "" || (theirs == "sane-1.2_3" && back == "") {
				t.Errorf("%s: the client's id %q was given back as %q", path, theirs, back)
			}
		}
	}
}
