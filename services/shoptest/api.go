package shoptest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Book is one of the catalogue, with the fields that the tests read.
type Book struct {
	ID            int64     `json:"id"`
	SourceID      string    `json:"sourceId,omitempty"`
	ISBN          string    `json:"isbn,omitempty"`
	Title         string    `json:"title"`
	Authors       []string  `json:"authors"`
	PublishedYear *int      `json:"publishedYear,omitempty"`
	Language      string    `json:"language,omitempty"`
	PriceCents    int64     `json:"priceCents"`
	Currency      string    `json:"currency"`
	Quantity      int64     `json:"quantity"`
	InStock       bool      `json:"inStock"`
	Version       int64     `json:"version"`
	StockVersion  int64     `json:"stockVersion"`
	CreatedAt     time.Time `json:"createdAt"`
	UpdatedAt     time.Time `json:"updatedAt"`
}

// Order is an order with its lines.
type Order struct {
	ID         string      `json:"id"`
	CustomerID string      `json:"customerId"`
	Status     string      `json:"status"`
	Items      []OrderItem `json:"items"`
	TotalCents int64       `json:"totalCents"`
	Currency   string      `json:"currency"`
	Version    int64       `json:"version"`
	CreatedAt  time.Time   `json:"createdAt"`
}

// OrderItem is a line of an order, or of a basket that is to become one.
type OrderItem struct {
	BookID         int64  `json:"bookId"`
	Title          string `json:"title,omitempty"`
	Quantity       int64  `json:"quantity"`
	UnitPriceCents int64  `json:"unitPriceCents,omitempty"`
}

// Page is one page of a list.
type Page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"nextCursor"`
}

// NewBook is the body of a book that no other test has.
func NewBook(title string, quantity int64) map[string]any {
	return map[string]any{
		"title": title + " " + uuid.NewString()[:8], "authors": []string{"E. Two"},
		"priceCents": 1250, "currency": "EUR", "quantity": quantity,
	}
}

// AddBook adds a book that is deleted when the test ends.
func (c *Client) AddBook(t testing.TB, title string, quantity int64) (b Book) {
	t.Helper()
	c.Want(t, http.StatusCreated, Call{Method: "POST", Path: "/books", Body: NewBook(title, quantity)}, &b)
	c.DeleteLater(t, b.ID)
	return b
}

// DeleteLater deletes a book when the test ends.
func (c *Client) DeleteLater(t testing.TB, id int64) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		a, err := c.Try(ctx, Call{Method: "DELETE", Path: fmt.Sprintf("/books/%d", id)})
		if err != nil || (a.Status != http.StatusNoContent && a.Status != http.StatusGone) {
			t.Errorf("delete book %d: %v %v", id, a, err)
		}
	})
}

// GetBook reads a book that is there.
func (c *Client) GetBook(t testing.TB, id int64) (b Book) {
	t.Helper()
	c.Want(t, http.StatusOK, Call{Method: "GET", Path: fmt.Sprintf("/books/%d", id)}, &b)
	return b
}

// Available reads how many copies of a book are left, past all caches.
func (c *Client) Available(t testing.TB, id int64) int64 {
	t.Helper()
	var a struct{ Available int64 }
	c.Want(t, http.StatusOK, Call{Method: "GET", Path: fmt.Sprintf("/books/%d/availability", id)}, &a)
	return a.Available
}

// Buy is the call that orders copies under a key.
func Buy(customer, key string, items ...OrderItem) Call {
	return Call{
		Method: "POST", Path: "/orders", Header: map[string]string{"Idempotency-Key": key},
		Body: map[string]any{"customerId": customer, "items": items},
	}
}

// Checkout is a checkout, or a return, as the API shows it.
type Checkout struct {
	ID         string    `json:"id"`
	CustomerID string    `json:"customerId"`
	State      string    `json:"state"`
	OrderID    string    `json:"orderId"`
	Steps      []Step    `json:"steps"`
	Error      *Cause    `json:"error"`
	Deadline   time.Time `json:"deadline"`
	CreatedAt  time.Time `json:"createdAt"`
	UpdatedAt  time.Time `json:"updatedAt"`
}

// Step is one step of a checkout.
type Step struct {
	Name       string    `json:"name"`
	State      string    `json:"state"`
	Attempts   int       `json:"attempts"`
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
	Error      *Cause    `json:"error"`
}

// Cause is why something failed.
type Cause struct{ Code, Message string }

// Over tells whether its state is final.
func (c Checkout) Over() bool {
	return slices.Contains([]string{"completed", "cancelled", "failed"}, c.State)
}

// Step finds a step by name.
func (c Checkout) Step(name string) (s Step) {
	for _, s = range c.Steps {
		if s.Name == name {
			return s
		}
	}
	return Step{}
}

// Text says how far it has come.
func (c Checkout) Text() string {
	var steps []string
	for _, s := range c.Steps {
		steps = append(steps, fmt.Sprintf("%s %s %d", s.Name, s.State, s.Attempts))
	}
	return fmt.Sprintf("%s (%s)", c.State, strings.Join(steps, ", "))
}

// StartCheckout is the call that orders and pays with a test token of the payment provider.
func StartCheckout(customer, key, token string, approval bool, items ...OrderItem) Call {
	return Call{
		Method: "POST", Path: "/checkouts", Header: map[string]string{"Idempotency-Key": key},
		Body: map[string]any{
			"customerId": customer, "items": items, "requiresApproval": approval,
			"payment": map[string]string{"method": "card", "token": token},
		},
	}
}

// StartReturn is the call that returns an order.
func StartReturn(order, key string) Call {
	return Call{Method: "POST", Path: "/orders/" + order + "/returns", Header: map[string]string{"Idempotency-Key": key}}
}

// Begin makes a call that starts a checkout or a return.
func (c *Client) Begin(t testing.TB, k Call) (began Checkout, path string) {
	t.Helper()
	a := c.Want(t, http.StatusAccepted, k, &began)
	if path = a.Header.Get("Location"); path == "" || !strings.HasSuffix(path, "/"+began.ID) {
		t.Fatalf("%s %s: %v at %q", k.Method, k.Path, a, path)
	}
	if id, err := uuid.Parse(began.ID); err != nil || id.Version() != 7 || began.Deadline.IsZero() || began.CreatedAt.IsZero() {
		t.Errorf("began %+v", began)
	}
	return began, path
}

// Await polls until a checkout or return is in the state.
func (c *Client) Await(t testing.TB, path, state string) (now Checkout) {
	t.Helper()
	Eventually(t, 30*time.Second, path+" is "+state, func(context.Context) error {
		now = Checkout{}
		c.Want(t, http.StatusOK, Call{Method: "GET", Path: path}, &now)
		if now.State != state {
			return fmt.Errorf("it is %s", now.Text())
		}
		return nil
	})
	return now
}

// Event is one of a stream's.
type Event struct {
	ID   int64
	Name string
	Data struct {
		State string
		Steps []Step
		At    time.Time
	}
}

// Follow reads a stream of events until enough says so, or until it ends. A status of 204
// has none.
func (c *Client) Follow(t testing.TB, path string, after int64, enough func(Event) bool) (status int, events []Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Accept", "text/event-stream")
	if after > 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatInt(after, 10))
	}
	res, err := (&http.Client{Transport: c.HTTP.Transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if kind := res.Header.Get("Content-Type"); res.StatusCode == http.StatusOK && kind != "text/event-stream" {
		t.Errorf("%s is %s", path, kind)
	}
	var e Event
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			e.ID, err = strconv.ParseInt(value, 10, 64)
		case "event":
			e.Name = value
		case "data":
			err = json.Unmarshal([]byte(value), &e.Data)
		}
		if err != nil {
			t.Fatalf("%v in %q", err, lines.Text())
		}
		if lines.Text() == "" && e.ID > 0 {
			events = append(events, e)
			if enough(e) {
				break
			}
			e = Event{}
		}
	}
	return res.StatusCode, events
}
