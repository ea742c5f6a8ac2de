//go:build e2e

package e2e

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Every answer that the clients of these tests get is held to the document; here are those
// that no other test asks for.

func TestTheDocumentAndItsPageAreServed(t *testing.T) {
	kept, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, "")
	if a := c.want(t, http.StatusOK, call{method: "GET", path: "/openapi.json"}, nil); !bytes.Equal(a.body, kept.raw) {
		t.Errorf("the shop serves another document than the repository's, of %d bytes", len(a.body))
	}
	a := c.want(t, http.StatusOK, call{method: "GET", path: "/docs"}, nil)
	if policy := a.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("the page may load anything: %q", policy)
	}
	for _, part := range []string{"swagger-ui-bundle.js", "swagger-ui.css", "docs.js", "docs.css", "favicon-32x32.png"} {
		c.want(t, http.StatusOK, call{method: "GET", path: "/docs/" + part}, nil)
	}
	c.want(t, http.StatusNotFound, call{method: "GET", path: "/docs/docs.html"}, nil)
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
	kept, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	if len(kept.calls) < 40 {
		t.Fatalf("the document has %d calls", len(kept.calls))
	}
	for name, c := range map[string]*client{"anonymous": newClient(t, ""), "known": shop(t), "unknown": newClient(t, "no-such-token")} {
		for _, documented := range kept.calls {
			k := call{method: documented.method, path: strangers(documented.segments)}
			a := c.do(t, k)
			if a.status >= http.StatusInternalServerError {
				t.Errorf("%s: %s %s: %v", name, k.method, k.path, a)
			}
		}
	}
}

func TestEventsAreAsDocumented(t *testing.T) {
	kept, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	schema := kept.schema(t, "CheckoutEvent")
	c := shop(t)
	b := c.addBook(t, "Events", 5)
	for _, token := range []string{"tok_ok", "tok_decline", "tok_fail_2"} {
		began, path := c.begun(t, checkOut("events", uuid.NewString(), token, false, orderItem{BookID: b.ID, Quantity: 1}))
		a := c.want(t, http.StatusOK, call{method: "GET", path: path + "/events", header: map[string]string{"Accept": "text/event-stream"}}, nil)
		seen := 0
		for line := range strings.Lines(string(a.body)) {
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
			t.Errorf("%s: %d events in %s", token, seen, a.body)
		}
	}
}
