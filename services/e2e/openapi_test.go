//go:build e2e

package e2e

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"bookstore/services/shoptest"
)

// Every answer that the clients of these tests get is held to the document; here are those
// that no other test asks for.

func TestTheDocumentAndItsPageAreServed(t *testing.T) {
	kept, err := shoptest.APIContract()
	if err != nil {
		t.Fatal(err)
	}
	c := shoptest.NewClient(t, "")
	if a := c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: "/openapi.json"}, nil); !bytes.Equal(a.Body, kept.Raw) {
		t.Errorf("the shop serves another document than the repository's, of %d bytes", len(a.Body))
	}
	a := c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: "/docs"}, nil)
	if policy := a.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("the page may load anything: %q", policy)
	}
	for _, part := range []string{"swagger-ui-bundle.js", "swagger-ui.css", "docs.js", "docs.css", "favicon-32x32.png"} {
		c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: "/docs/" + part}, nil)
	}
	c.Want(t, http.StatusNotFound, shoptest.Call{Method: "GET", Path: "/docs/docs.html"}, nil)
}

// strangers are values of path parameters that stand for nothing in the shop.
func strangers(segments []string) string {
	path := make([]string, len(segments))
	for i, segment := range segments {
		switch {
		case segment == "{id}" && segments[1] == "books":
			segment = "999999999999"
		case segment == "{id}":
			segment = uuid.NewString()
		case segment == "{gid}":
			segment = "0123456789abcdef"
		case strings.HasPrefix(segment, "{"):
			segment = "nobody"
		}
		path[i] = segment
	}
	return strings.Join(path, "/")
}

// Whoever makes a documented call, with nothing in it, is answered as documented: it is
// there, whatever it says.
func TestEveryDocumentedCallIsThere(t *testing.T) {
	kept, err := shoptest.APIContract()
	if err != nil {
		t.Fatal(err)
	}
	if len(kept.Calls) < 40 {
		t.Fatalf("the document has %d calls", len(kept.Calls))
	}
	for name, c := range map[string]*shoptest.Client{"anonymous": shoptest.NewClient(t, ""), "known": shoptest.Shop(t), "unknown": shoptest.NewClient(t, "no-such-token")} {
		for _, documented := range kept.Calls {
			k := shoptest.Call{Method: documented.Method, Path: strangers(documented.Segments)}
			a := c.Do(t, k)
			if a.Status >= http.StatusInternalServerError {
				t.Errorf("%s: %s %s: %v", name, k.Method, k.Path, a)
			}
		}
	}
}

func TestEventsAreAsDocumented(t *testing.T) {
	kept, err := shoptest.APIContract()
	if err != nil {
		t.Fatal(err)
	}
	schema := kept.Schema(t, "CheckoutEvent")
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Events", 5)
	for _, token := range []string{"tok_ok", "tok_decline", "tok_fail_2"} {
		began, path := c.Begin(t, shoptest.StartCheckout("events", uuid.NewString(), token, false, shoptest.OrderItem{BookID: b.ID, Quantity: 1}))
		a := c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: path + "/events", Header: map[string]string{"Accept": "text/event-stream"}}, nil)
		seen := 0
		for line := range strings.Lines(string(a.Body)) {
			data, ok := strings.CutPrefix(line, "data: ")
			if !ok {
				continue
			}
			seen++
			event, err := jsonschema.UnmarshalJSON(strings.NewReader(data))
			if err == nil {
				err = schema.Validate(event)
			}
			if err != nil {
				t.Errorf("%s: %v in %s", began.ID, err, data)
			}
		}
		if seen < 3 {
			t.Errorf("%s: %d events in %s", token, seen, a.Body)
		}
	}
}
