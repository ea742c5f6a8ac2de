package openapi_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bookstore/services/gateway/openapi/openapitest"
)

const root = "../../.."

// whole is a path from anywhere.
func whole(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// answers are the statuses that each call may be answered with in JSON, by its id.
func answers(t *testing.T) map[string][]string {
	t.Helper()
	d, byID, n := read(t), map[string][]string{}, 0
	for _, calls := range d.Paths {
		for _, o := range calls {
			for status, r := range o.Responses {
				if name, ok := strings.CutPrefix(r.Ref, "#/components/responses/"); ok {
					r = d.Components.Responses[name]
				}
				for kind := range r.Content {
					if strings.HasSuffix(kind, "json") {
						byID[o.OperationID], n = append(byID[o.OperationID], status), n+1
					}
				}
			}
		}
	}
	if n < 300 {
		t.Fatalf("%d answers were found", n)
	}
	return byID
}

// A client in Go compiles, with the program that buys a book by it, and knows every answer.
func TestAGoClientHasEveryAnswer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := openapitest.Go(t.Context(), whole(t, root), dir, whole(t, "openapi.json"), whole(t, root+"/services/e2e/testdata/clients/buy.go")); err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(filepath.Join(dir, "shop/shop.go"))
	if err != nil {
		t.Fatal(err)
	}
	for id, statuses := range answers(t) {
		name := strings.ToUpper(id[:1]) + id[1:] + "Response"
		fields := regexp.MustCompile(`(?s)\ntype ` + name + ` struct \{\n(.*?)\n\}`).FindString(string(code))
		for _, status := range statuses {
			if !regexp.MustCompile(`\n\t(JSON|ApplicationproblemJSON)` + status + ` `).MatchString(fields) {
				t.Errorf("%s has no answer %s:\n%s", name, status, fields)
			}
		}
	}
}

var capital = regexp.MustCompile(`([a-z])([A-Z])|([A-Z])([A-Z][a-z])`)

// A client in Python leaves no answer out.
func TestAPythonClientHasEveryAnswer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := openapitest.Py(t.Context(), dir, whole(t, "openapi.json")); err != nil {
		t.Fatal(err)
	}
	for id, statuses := range answers(t) {
		name := strings.ToLower(capital.ReplaceAllString(id, "${1}${3}_${2}${4}"))
		files, err := filepath.Glob(filepath.Join(dir, openapitest.PythonPackage, "api/*", name+".py"))
		if err != nil || len(files) != 1 {
			t.Errorf("%s: %q, %v", id, files, err)
			continue
		}
		code, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, status := range statuses {
			if !regexp.MustCompile(`response_` + status + ` = \w+\.from_dict\(`).Match(code) {
				t.Errorf("%s has no answer %s", id, status)
			}
		}
	}
	if _, err := openapitest.Run(t.Context(), dir, []string{"PYTHONPATH=" + dir}, openapitest.Python, "-m", "compileall", "-q", dir); err != nil {
		t.Error(err)
	}
}
