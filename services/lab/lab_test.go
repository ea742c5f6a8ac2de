package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"bookstore/services/lab"
)

// post places an order for a copy of a book and returns the status.
func post(ctx context.Context, t testing.TB, s *lab.Shop, key string, book int64) int {
	t.Helper()
	body := fmt.Sprintf(`{"customerId":"c","items":[{"bookId":%d,"quantity":1}]}`, book)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL(lab.Coordinator)+"/orders", bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Idempotency-Key", key)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// Every service is killed and frozen once; the shop is whole again after each.
func TestTheShopIsWholeAfterEachKill(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s := lab.Start(t, lab.Options{Books: 10, Stock: 100, Apart: true})
	if status := post(ctx, t, s, "first", 1); status != http.StatusCreated {
		t.Fatalf("the first order: %d", status)
	}
	for _, name := range []lab.Service{lab.Books, lab.Orders, lab.Coordinator} {
		s.Freeze(name)
		short, end := context.WithTimeout(ctx, 300*time.Millisecond)
		post(short, t, s, "frozen-"+string(name), 2)
		end()
		s.Kill(name)
		post(ctx, t, s, "killed-"+string(name), 3)
		if err := s.Restart(name); err != nil {
			t.Fatal(err)
		}
		if err := s.Ready(ctx, name); err != nil {
			t.Fatal(err)
		}
		if err := s.Settle(ctx); err != nil {
			t.Errorf("after %s was killed: %v", name, err)
		}
		if status := post(ctx, t, s, "again-"+string(name), 4); status != http.StatusCreated {
			t.Errorf("after %s was killed: %d", name, status)
		}
	}
	if err := s.Settle(ctx); err != nil {
		t.Error(err)
	}
}
