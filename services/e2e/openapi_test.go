//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"bookstore/services/gateway/openapi/openapitest"
	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// Every answer that the clients of these tests get is held to the document; here are those
// that no other test requests.

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

// tool is a program that vagrant/provision/36-api-tools.sh installs.
func tool(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("/opt/bookstore/bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: 'go tool task test:api' installs it", err)
	}
	return path
}

// runTool runs a program to its end, within a time, and logs its output.
func runTool(t *testing.T, within time.Duration, dir, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool(t, name), args...)
	cmd.Dir, cmd.WaitDelay = dir, 5*time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	said, err := cmd.CombinedOutput()
	t.Logf("%s:\n%s", name, said)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// written is a file of this test's, which nobody else may read.
func written(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The collection that the repository offers tells its story on this shop.
func TestAPIPostmanStory(t *testing.T) {
	takeBack(t)
	type value struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	environment, err := json.Marshal(map[string]any{"name": "test", "values": []value{
		{"baseUrl", shoptest.BaseURL(t)}, {"token", shoptest.Token(t, "BOOKSTORE_TEST_TOKEN")}, {"operatorToken", shoptest.Token(t, "BOOKSTORE_OPERATOR_TOKEN")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	collection, err := filepath.Abs("../gateway/openapi/postman/bookstore.postman_collection.json")
	if err != nil {
		t.Fatal(err)
	}
	runTool(t, 3*time.Minute, t.TempDir(), "newman", "run", collection, "--environment", written(t, "environment.json", string(environment)),
		"--color", "off", "--timeout-request", "20000", "--reporters", "cli", "--disable-unicode")
}

// orElse reads a setting of the environment.
func orElse(variable, other string) string {
	if value := os.Getenv(variable); value != "" {
		return value
	}
	return other
}

// Whatever is made up from the document is answered as documented, and never by a mistake
// of the shop's. What is made up may well be good: books to change are the test's own, and
// what was bought is given back.
func TestAPIFuzz(t *testing.T) {
	t.Parallel() // beside a test that mostly waits
	c := shoptest.Operator(t)
	takeBack(t)
	kept, doomed := c.AddBook(t, "Fuzzed", 1000), c.AddBook(t, "Fuzzed away", 1000)
	// A stream has to be of something that is over, or it would last.
	_, over := c.Begin(t, shoptest.StartCheckout("fuzzed", uuid.NewString(), "tok_ok", false, shoptest.OrderItem{BookID: kept.ID, Quantity: 1}))
	ended := c.Await(t, over, "completed")
	seed := orElse("API_SEED", fmt.Sprint(time.Now().UnixNano()%1_000_000))
	t.Logf("seed %s: API_SEED=%s plays it again", seed, seed)
	config := "headers = { Authorization = \"Bearer ${BOOKSTORE_OPERATOR_TOKEN}\" }\n"
	for operation, parameter := range map[string]string{
		"replaceBook": fmt.Sprintf(`"path.id" = %d`, kept.ID), "editBook": fmt.Sprintf(`"path.id" = %d`, kept.ID),
		"adjustStock": fmt.Sprintf(`"path.id" = %d`, kept.ID), "deleteBook": fmt.Sprintf(`"path.id" = %d`, doomed.ID),
		"followCheckout":       fmt.Sprintf(`"path.id" = %q`, ended.ID),
		"putBookBySource":      fmt.Sprintf(`"path.sourceId" = "fuzzed-%s"`, uuid.NewString()),
		"putBookBySourceQuery": fmt.Sprintf(`"query.sourceId" = "fuzzed/%s"`, uuid.NewString()),
	} {
		config += fmt.Sprintf("\n[[operations]]\ninclude-operation-id = %q\nparameters = { %s }\n", operation, parameter)
	}
	runTool(t, 3*time.Minute, t.TempDir(), "schemathesis", "--config-file", written(t, "schemathesis.toml", config), "run", shoptest.DocumentFile(),
		"--url", shoptest.BaseURL(t), "--no-color", "--seed", seed, "--max-time", orElse("API_SECONDS", "60"), "--phases", "examples,coverage,fuzzing",
		"--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance",
		"--continue-on-failure", "--max-failures", "20", "--request-timeout", "20", "--generation-database", "none", "--warnings", "off")
}

// requireBought fails unless a program of a customer says that it has bought a book.
func requireBought(t *testing.T, said string, err error) {
	t.Helper()
	if err != nil || !strings.HasPrefix(said, "bought ") {
		t.Errorf("%v: it says %q", err, said)
	}
}

// Clients that are made from the document buy a book, and understand that there is no other.
func TestAPIGoClientBuys(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	root, dir := shoptest.Repository(""), t.TempDir()
	if err := openapitest.Go(ctx, root, dir, filepath.Join(root, "services/gateway/openapi/openapi.json"), filepath.Join(root, "services/e2e/testdata/clients/buy.go")); err != nil {
		t.Fatal(err)
	}
	said, err := openapitest.Run(ctx, dir, nil, filepath.Join(dir, "program"), shoptest.BaseURL(t), shoptest.Token(t, "BOOKSTORE_TEST_TOKEN"))
	requireBought(t, said, err)
}

func TestAPIPythonClientBuys(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	root, dir := shoptest.Repository(""), t.TempDir()
	if err := openapitest.Py(ctx, dir, filepath.Join(root, "services/gateway/openapi/openapi.json")); err != nil {
		t.Fatal(err)
	}
	said, err := openapitest.Run(ctx, dir, []string{"PYTHONPATH=" + dir}, openapitest.Python,
		filepath.Join(root, "services/e2e/testdata/clients/buy.py"), shoptest.BaseURL(t), shoptest.Token(t, "BOOKSTORE_TEST_TOKEN"))
	requireBought(t, said, err)
}

// takeBack gives back, when the test ends, what was bought since it began, and withdraws
// the books that were added.
func takeBack(t *testing.T) {
	t.Helper()
	c := shoptest.Operator(t)
	catalogue, orders, sagas := cluster.Leader(t, "bookdb"), cluster.Leader(t, "orderdb"), cluster.Leader(t, "coordinatordb")
	last := cluster.Number(t, catalogue, "select coalesce(max(id), 0) from books")
	began := cluster.Number(t, orders, "select (extract(epoch from clock_timestamp()) * 1000000)::bigint")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		const since = " where created_at >= to_timestamp($1 / 1e6) and "
		for _, id := range texts(ctx, t, sagas, "select id::text from sagas"+since+"definition = 'checkout' and finished_at is null", began) {
			undo(ctx, t, c, shoptest.Call{Method: "POST", Path: "/checkouts/" + id + "/cancel"}, http.StatusOK, http.StatusConflict)
			waitOver(ctx, t, c, "/checkouts/"+id)
		}
		for _, id := range texts(ctx, t, orders, "select id::text from orders"+since+"status = 'placed'", began) {
			undo(ctx, t, c, shoptest.Call{Method: "POST", Path: "/orders/" + id + "/cancel"}, http.StatusOK)
		}
		for _, id := range texts(ctx, t, orders, "select id::text from orders"+since+"status = 'paid'", began) {
			if a := undo(ctx, t, c, shoptest.StartReturn(id, uuid.NewString()), http.StatusAccepted, http.StatusConflict); a.Status == http.StatusAccepted {
				waitOver(ctx, t, c, a.Header.Get("Location"))
			}
		}
		for _, id := range texts(ctx, t, catalogue, "select id::text from books where id > $1 and deleted_at is null", last) {
			undo(ctx, t, c, shoptest.Call{Method: "DELETE", Path: "/books/" + id}, http.StatusNoContent, http.StatusGone)
		}
	})
}

// undo makes a call of a cleanup, which has to end with one of these statuses.
func undo(ctx context.Context, t *testing.T, c *shoptest.Client, k shoptest.Call, good ...int) *shoptest.Answer {
	t.Helper()
	a, err := c.Persist(ctx, k, shoptest.Retriable)
	if err != nil {
		t.Errorf("%s %s: %v", k.Method, k.Path, err)
		return &shoptest.Answer{}
	}
	if !slices.Contains(good, a.Status) {
		t.Errorf("%s %s: %v", k.Method, k.Path, a)
	}
	return a
}

// waitOver polls until the state of a checkout or return is final, or ctx ends.
func waitOver(ctx context.Context, t *testing.T, c *shoptest.Client, path string) {
	t.Helper()
	err := shoptest.Poll(ctx, time.Minute, func(ctx context.Context) error {
		var now shoptest.Checkout
		a, err := c.Try(ctx, shoptest.Call{Method: "GET", Path: path})
		if err == nil && (json.Unmarshal(a.Body, &now) != nil || !now.Over()) {
			err = fmt.Errorf("%v", a)
		}
		return err
	})
	if err != nil {
		t.Errorf("%s is not over: %v", path, err)
	}
}

// texts are the rows of a query for one text.
func texts(ctx context.Context, t *testing.T, conn *pgx.Conn, sql string, arg int64) []string {
	t.Helper()
	rows, err := conn.Query(ctx, sql, arg)
	if err != nil {
		t.Errorf("%s: %v", sql, err)
		return nil
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Errorf("%s: %v", sql, err)
	}
	return found
}
