package shoptest

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Book is one of the catalogue, as far as the tests look at it.
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
