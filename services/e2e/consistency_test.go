//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

const consistency = "X-Consistency-Token"

// A list may lag, but not behind what its reader wrote, whichever replica answers.
func TestAListShowsItsReadersWritesAtOnce(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	c := shoptest.Shop(t)
	before := replicaReads(t)
	for i := range 20 {
		title := "token" + strings.ReplaceAll(uuid.NewString(), "-", "") // one word of a search
		made := c.Do(t, shoptest.Call{Method: "POST", Path: "/books", Body: shoptest.NewBook(title, 5)})
		if made.Status != http.StatusCreated || made.Header.Get(consistency) == "" {
			t.Fatalf("%d: %v with token %q", i, made, made.Header.Get(consistency))
		}
		found := first(t, c, "/books?q="+url.QueryEscape(title), made)
		c.DeleteLater(t, int64(found["id"].(float64)))

		customer := "token-" + uuid.NewString()
		bought := c.Do(t, shoptest.Buy(customer, uuid.NewString(), shoptest.OrderItem{BookID: int64(found["id"].(float64)), Quantity: 1}))
		if bought.Status != http.StatusCreated {
			t.Fatal(bought)
		}
		first(t, c, "/orders?customerId="+customer, bought)
	}
	after := replicaReads(t)
	for _, service := range []string{"books", "orders"} {
		if after[service] == before[service] {
			t.Errorf("%s: no list was read from a replica", service)
		}
	}
	bad := c.Do(t, shoptest.Call{Method: "GET", Path: "/orders", Header: map[string]string{consistency: "nonsense"}})
	p := requireProblem(t, bad, http.StatusBadRequest, "malformed_request")
	if len(p.Errors) != 1 || p.Errors[0].Field != consistency {
		t.Errorf("the problem names %+v", p.Errors)
	}
}

// first reads a list with the token that came with a write, and returns its only item.
func first(t *testing.T, c *shoptest.Client, path string, written *shoptest.Answer) map[string]any {
	t.Helper()
	var list shoptest.Page[map[string]any]
	c.Want(t, http.StatusOK, shoptest.Call{
		Method: "GET", Path: path, Header: map[string]string{consistency: written.Header.Get(consistency)},
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
		all, err := cluster.Measured(t.Context(), t, service)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			reads[service] += s.Sum("db_reads_total", fmt.Sprintf("from=%q", "replica"))
		}
	}
	return reads
}
