package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"bookstore/services/lab"
)

// visit is one customer's, with books that nobody else buys.
type visit struct {
	site  *site
	key   string // of what is asked for; the customer's name too
	books []int64
	stock int64 // of each book, before
	order orderSeen
	path  string // of what was begun
}

// orderSeen is an order as the API shows it.
type orderSeen struct {
	ID, Status string
	TotalCents int64
}

// reply is what a client reads.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) String() string { return fmt.Sprintf("%d %s", r.status, r.body) }

func (r reply) code() string {
	var problem struct{ Code string }
	_ = json.Unmarshal(r.body, &problem) // what is no problem has no code
	return problem.Code
}

// copies are how many are bought of each book.
var copies = []int64{2, 1}

func (v *visit) arrive(ctx context.Context, stock int64) error {
	v.stock = stock
	for n := range copies {
		body := map[string]any{
			"title": fmt.Sprintf("%s %d", v.key, n), "authors": []string{"A"}, "priceCents": lab.Price, "currency": "EUR", "quantity": stock,
		}
		a, err := v.ask(ctx, v.site.shop.URL(lab.Books), http.MethodPost, "/books", body, "")
		if err != nil {
			return err
		}
		var made struct{ ID int64 }
		if err := json.Unmarshal(a.body, &made); err != nil || a.status != http.StatusCreated {
			return fmt.Errorf("add a book: %v", a)
		}
		v.books = append(v.books, made.ID)
	}
	return nil
}

func (v *visit) items() (items []map[string]int64) {
	for i, id := range v.books {
		items = append(items, map[string]int64{"bookId": id, "quantity": copies[i]})
	}
	return items
}

// ask repeats a request under one key until the answer is a definite one.
func (v *visit) ask(ctx context.Context, base, method, path string, body any, key string) (a reply, err error) {
	var text []byte
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return reply{}, err
		}
	}
	transport := &http.Transport{DisableKeepAlives: true}
	asking := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	err = lab.Until(ctx, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(text))
		if err != nil {
			return err
		}
		if body != nil {
			request.Header.Set("Content-Type", "application/json")
		}
		if key != "" {
			request.Header.Set("Idempotency-Key", key)
		}
		response, err := asking.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		a.status, a.header = response.StatusCode, response.Header
		if a.body, err = io.ReadAll(response.Body); err != nil {
			return err
		}
		if a.open() {
			return fmt.Errorf("no definite answer to %s %s: %v", method, path, a)
		}
		return nil
	})
	return a, err
}

// open tells whether the answer leaves the matter open.
func (r reply) open() bool {
	switch r.code() {
	case "in_progress", "contended", "price_changed":
		return true
	}
	return r.status >= 500 || r.status == http.StatusTooManyRequests
}

// want asks through the watched front for something that has one right answer.
func (v *visit) want(ctx context.Context, status int, path string, body any, key string) (reply, error) {
	a, err := v.ask(ctx, v.site.front, http.MethodPost, path, body, key)
	if err == nil && a.status != status {
		err = fmt.Errorf("POST %s: %v, want %d", path, a, status)
	}
	return a, err
}

// look reads what the API shows now, unwatched.
func (v *visit) look(ctx context.Context, name lab.Service, path string, into any) error {
	a, err := v.ask(ctx, v.site.shop.URL(name), http.MethodGet, path, nil, "")
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("GET %s: %v", path, a)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(a.body, into)
}

func (v *visit) number(ctx context.Context, database, sql string, args ...any) (n int64, err error) {
	err = v.site.shop.DB(database).QueryRow(ctx, sql, args...).Scan(&n)
	return n, err
}
