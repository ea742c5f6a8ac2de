//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
)

const consistency = "X-Consistency-Token"

// A list may lag, but not behind what its reader wrote, whichever replica answers.
func TestAListShowsItsReadersWritesAtOnce(t *testing.T) {
	waitHealthy(t, 2, services...)
	c := shop(t)
	before := replicaReads(t)
	for i := range 20 {
		title := "token" + strings.ReplaceAll(uuid.NewString(), "-", "") // one word of a search
		made := c.do(t, call{method: "POST", path: "/books", body: newBook(title, 5)})
		if made.status != http.StatusCreated || made.header.Get(consistency) == "" {
			t.Fatalf("%d: %v with token %q", i, made, made.header.Get(consistency))
		}
		found := c.first(t, "/books?q="+url.QueryEscape(title), made)
		c.deleteLater(t, int64(found["id"].(float64)))

		customer := "token-" + uuid.NewString()
		bought := c.do(t, buy(customer, uuid.NewString(), orderItem{BookID: int64(found["id"].(float64)), Quantity: 1}))
		if bought.status != http.StatusCreated {
			t.Fatal(bought)
		}
		c.first(t, "/orders?customerId="+customer, bought)
	}
	after := replicaReads(t)
	for _, service := range []string{"books", "orders"} {
		if after[service] == before[service] {
			t.Errorf("%s: no list was read from a replica", service)
		}
	}
	bad := c.do(t, call{method: "GET", path: "/orders", header: map[string]string{consistency: "nonsense"}})
	p := requireProblem(t, bad, http.StatusBadRequest, "malformed_request")
	if len(p.Errors) != 1 || p.Errors[0].Field != consistency {
		t.Errorf("the problem names %+v", p.Errors)
	}
}

// first asks for a list with the token that came with a write, and returns its only item.
func (c *client) first(t *testing.T, path string, written *answer) map[string]any {
	t.Helper()
	var list page[map[string]any]
	c.want(t, http.StatusOK, call{
		method: "GET", path: path, header: map[string]string{consistency: written.header.Get(consistency)},
	}, &list)
	if len(list.Items) != 1 {
		t.Fatalf("%s: %d items right after the write", path, len(list.Items))
	}
	return list.Items[0]
}

// replicaReads counts each service's reads from replicas.
func replicaReads(t *testing.T) map[string]float64 {
	t.Helper()
	reads := map[string]float64{}
	for _, service := range []string{"books", "orders"} {
		all, err := measured(t.Context(), t, service)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			reads[service] += s.sum("db_reads_total", fmt.Sprintf("from=%q", "replica"))
		}
	}
	return reads
}
