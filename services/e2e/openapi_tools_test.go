//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"bookstore/services/gateway/openapi/openapitest"

	"bookstore/services/shoptest"
)

// tool is a program that vagrant/provision/36-api-tools.sh installs.
func tool(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("/opt/bookstore/bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: 'go tool task test:api' installs it", err)
	}
	return path
}

// runTool runs a program to its end, within a time, and shows what it says.
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
