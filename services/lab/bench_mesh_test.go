//go:build bench

package lab_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"
)

// meshBooks adds books to the running shop, which are deleted when the test
// ends, and picks from them.
func meshBooks(t *testing.T, b *buyer) func() int {
	t.Helper()
	const count = 200
	ids := make([]int, count)
	for i := range ids {
		body := fmt.Sprintf(`{"title":"Bench %d","authors":["B. Ench"],"priceCents":1000,"currency":"EUR","quantity":1000000}`, i)
		answer, err := b.post("/books", uuid.NewString(), body, http.StatusCreated)
		if err != nil {
			t.Fatal(err)
		}
		var made struct{ ID int }
		if err := json.Unmarshal(answer, &made); err != nil {
			t.Fatal(err)
		}
		ids[i] = made.ID
	}
	t.Cleanup(func() {
		for _, id := range ids {
			b.remove(fmt.Sprintf("/books/%d", id))
		}
	})
	return func() int { return ids[rand.IntN(count)] }
}

func (b *buyer) remove(path string) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI("http://" + b.http.Addr + path)
	request.Header.SetMethod(http.MethodDelete)
	request.Header.Set("Authorization", "Bearer "+b.token)
	_ = b.http.Do(request, response) // a book that stays is in nobody's way
}
