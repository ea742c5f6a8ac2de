//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// An operator finds one order in the logs of all services by what its customer has, the answer's request id, and a checkout
// by its own id; neither finds the other's.
func TestTheLogsTellARequestsWay(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Logged", 5)
	ordered := c.Want(t, http.StatusCreated, shoptest.Buy("logged", uuid.NewString(), shoptest.OrderItem{BookID: b.ID, Quantity: 1}), nil)
	began, path := c.Begin(t, shoptest.StartCheckout("logged", uuid.NewString(), "tok_ok", false, shoptest.OrderItem{BookID: b.ID, Quantity: 1}))
	c.Await(t, path, "completed")

	request := wayOf(t, []string{"gateway", "coordinator", "books", "orders"}, "--request", ordered.Header.Get("X-Request-Id"))
	gid := ""
	for _, l := range request {
		if l["service"] == "coordinator" {
			gid, _ = l["gid"].(string)
		}
		if l["saga"] != nil {
			t.Errorf("an order's way has a saga: %v", l)
		}
	}
	if gid == "" {
		t.Fatalf("the coordinator's line has no gid: %v", request)
	}
	if transaction := wayOf(t, []string{"gateway", "coordinator", "books", "orders"}, "--gid", gid); len(transaction) < len(request) {
		t.Errorf("%d lines about the transaction, %d about its request", len(transaction), len(request))
	}
	wayOf(t, []string{"gateway", "coordinator", "books", "orders", "payments"}, "--saga", began.ID)

	unknown := uuid.NewString()
	if out, err := cluster.OperatorCommand(t.Context(), "logs", "--request", unknown).CombinedOutput(); err == nil || !strings.Contains(string(out), "no service has a line") {
		t.Errorf("an unknown request: %s, %v", out, err)
	}
}

// wayOf is what shop logs prints, once it has lines of all these services; they are in the order of time, and no secret of
// a customer's or of the shop's is in them.
func wayOf(t *testing.T, services []string, args ...string) (lines []map[string]any) {
	t.Helper()
	var text []byte
	shoptest.Eventually(t, 30*time.Second, strings.Join(args, " ")+" has a line of each service", func(ctx context.Context) (err error) {
		lines = nil
		if text, err = cluster.OperatorCommand(ctx, append([]string{"logs", "--json"}, args...)...).Output(); err != nil {
			return err
		}
		var seen []string
		for line := range strings.Lines(string(text)) {
			var l map[string]any
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				return err
			}
			lines, seen = append(lines, l), append(seen, l["service"].(string))
		}
		for _, service := range services {
			if !slices.Contains(seen, service) {
				return errors.New("none of " + service)
			}
		}
		return nil
	})
	if !slices.IsSortedFunc(lines, func(a, b map[string]any) int { return strings.Compare(a["time"].(string), b["time"].(string)) }) {
		t.Errorf("not in the order of time:\n%s", text)
	}
	if strings.Contains(string(text), "tok_ok") {
		t.Errorf("a payment token is in the log:\n%s", text)
	}
	return lines
}

// The level of a service's log changes while it runs.
func TestLevelsChangeAtRunTime(t *testing.T) {
	c := shoptest.Shop(t)
	level := func(to string) {
		if out, err := cluster.OperatorCommand(t.Context(), "logs", "level", "gateway", to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := cluster.OperatorCommand(context.WithoutCancel(t.Context()), "logs", "level", "gateway", "configured").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	level("debug")
	shoptest.Eventually(t, 30*time.Second, "a read has a line", func(ctx context.Context) error {
		read, err := c.Try(ctx, shoptest.Call{Method: "GET", Path: "/orders?customerId=nobody"})
		if err != nil {
			return err
		}
		return cluster.OperatorCommand(ctx, "logs", "--request", read.Header.Get("X-Request-Id")).Run()
	})
}
