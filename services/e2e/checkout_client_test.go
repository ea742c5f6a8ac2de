//go:build e2e

package e2e

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

// checkout is a checkout, or a return, as the API shows it.
type checkout struct {
	ID         string    `json:"id"`
	CustomerID string    `json:"customerId"`
	State      string    `json:"state"`
	OrderID    string    `json:"orderId"`
	Steps      []step    `json:"steps"`
	Error      *cause    `json:"error"`
	Deadline   time.Time `json:"deadline"`
	CreatedAt  time.Time `json:"createdAt"`
	UpdatedAt  time.Time `json:"updatedAt"`
}

type step struct {
	Name       string    `json:"name"`
	State      string    `json:"state"`
	Attempts   int       `json:"attempts"`
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
	Error      *cause    `json:"error"`
}

type cause struct{ Code, Message string }

func (c checkout) over() bool {
	return slices.Contains([]string{"completed", "cancelled", "failed"}, c.State)
}

func (c checkout) step(name string) (s step) {
	for _, s = range c.Steps {
		if s.Name == name {
			return s
		}
	}
	return step{}
}

// text says how far it has come.
func (c checkout) text() string {
	var steps []string
	for _, s := range c.Steps {
		steps = append(steps, fmt.Sprintf("%s %s %d", s.Name, s.State, s.Attempts))
	}
	return fmt.Sprintf("%s (%s)", c.State, strings.Join(steps, ", "))
}

// checkOut is the call that orders and pays with a test token of the payment provider.
func checkOut(customer, key, token string, approval bool, items ...orderItem) call {
	return call{
		method: "POST", path: "/checkouts", header: map[string]string{"Idempotency-Key": key},
		body: map[string]any{
			"customerId": customer, "items": items, "requiresApproval": approval,
			"payment": map[string]string{"method": "card", "token": token},
		},
	}
}

// giveBack is the call that returns an order.
func giveBack(order, key string) call {
	return call{method: "POST", path: "/orders/" + order + "/returns", header: map[string]string{"Idempotency-Key": key}}
}

// begun makes a call that starts a checkout or a return.
func (c *client) begun(t testing.TB, k call) (began checkout, path string) {
	t.Helper()
	a := c.want(t, http.StatusAccepted, k, &began)
	if path = a.header.Get("Location"); path == "" || !strings.HasSuffix(path, "/"+began.ID) {
		t.Fatalf("%s %s: %v at %q", k.method, k.path, a, path)
	}
	if id, err := uuid.Parse(began.ID); err != nil || id.Version() != 7 || began.Deadline.IsZero() || began.CreatedAt.IsZero() {
		t.Errorf("began %+v", began)
	}
	return began, path
}

// comesTo polls until a checkout or return is in the state.
func (c *client) comesTo(t testing.TB, path, state string) (now checkout) {
	t.Helper()
	eventually(t, 30*time.Second, path+" is "+state, func(context.Context) error {
		now = checkout{}
		c.want(t, http.StatusOK, call{method: "GET", path: path}, &now)
		if now.State != state {
			return fmt.Errorf("it is %s", now.text())
		}
		return nil
	})
	return now
}

// money is what a payment's account holds, in the ledger of the payments service.
func money(t testing.TB, orderID, account string) int64 {
	t.Helper()
	return number(t, leader(t, "paymentdb"), `select coalesce(sum(e.cents), 0)::bigint
		from ledger_entries e join payments p on p.id = e.payment_id where p.order_id::text = $1 and e.account = $2`, orderID, account)
}

// requireNoMoney: nothing was ever paid for a checkout, or all of it went back.
func requireNoMoney(t testing.TB, checkoutID string) {
	t.Helper()
	var order string
	err := leader(t, "coordinatordb").QueryRow(t.Context(), "select data->'order'->>'id' from sagas where id = $1", checkoutID).Scan(&order)
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range []string{"customer", "held", "merchant"} {
		if cents := money(t, order, account); cents != 0 {
			t.Errorf("checkout %s: %d cents are left at the %s", checkoutID, cents, account)
		}
	}
}

// event is one of a stream's.
type event struct {
	id   int64
	name string
	data struct {
		State string
		Steps []step
		At    time.Time
	}
}

// follow reads a stream of events until enough says so, or until it ends. A status of 204
// has none.
func (c *client) follow(t testing.TB, path string, after int64, enough func(event) bool) (status int, events []event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Accept", "text/event-stream")
	if after > 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatInt(after, 10))
	}
	res, err := (&http.Client{Transport: c.http.Transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if kind := res.Header.Get("Content-Type"); res.StatusCode == http.StatusOK && kind != "text/event-stream" {
		t.Errorf("%s is %s", path, kind)
	}
	var e event
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			e.id, err = strconv.ParseInt(value, 10, 64)
		case "event":
			e.name = value
		case "data":
			err = json.Unmarshal([]byte(value), &e.data)
		}
		if err != nil {
			t.Fatalf("%v in %q", err, lines.Text())
		}
		if lines.Text() == "" && e.id > 0 {
			events = append(events, e)
			if enough(e) {
				break
			}
			e = event{}
		}
	}
	return res.StatusCode, events
}
