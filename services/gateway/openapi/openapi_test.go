package openapi_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bookstore/services/gateway"
	"bookstore/services/gateway/openapi"
	"bookstore/services/platform/web"
)

// described is the part of the document that these tests check.
type described struct {
	Tags       []struct{ Name string }
	Paths      map[string]map[string]operation
	Components struct {
		Schemas    map[string]problem
		Responses  map[string]response
		Parameters map[string]parameter
	}
}

type operation struct {
	OperationID, Summary, Description string
	Tags                              []string
	Security                          []map[string][]string
	Parameters                        []parameter
	Responses                         map[string]response
}

type parameter struct {
	Ref      string `json:"$ref"`
	Name, In string
}

type response struct {
	Ref     string `json:"$ref"`
	Content map[string]struct {
		Schema struct {
			Ref string `json:"$ref"`
		}
		Examples map[string]struct {
			Value struct {
				Title, Code string
				Status      int
			}
		}
	}
}

// problem is a schema that narrows the one of all problems.
type problem struct {
	AllOf []struct {
		Properties struct {
			Status struct{ Enum []int }
			Code   struct{ Enum []string }
		}
	}
}

func read(t *testing.T) (d described) {
	t.Helper()
	if err := json.Unmarshal(openapi.Document(), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

var parameterOf = regexp.MustCompile(`:([A-Za-z]+)`)

// template is a route's pattern as the document writes it.
func template(pattern string) string { return parameterOf.ReplaceAllString(pattern, "{$1}") }

// routed are the calls that a gateway serves to clients: those of its table, its document, and the one that it answers
// itself.
func routed() map[string]bool {
	calls := map[string]bool{"DELETE /cache": true}
	for _, r := range gateway.Routes() {
		calls[r.Method+" "+template(r.Pattern)] = true
	}
	app, _ := web.NewApart(web.Options{Service: "gateway"})
	openapi.Routes(app)
	for _, r := range app.GetRoutes(true) {
		if r.Method != http.MethodHead {
			calls[r.Method+" "+template(r.Path)] = true
		}
	}
	return calls
}

func TestEveryRouteIsDocumentedAndEveryDocumentedCallIsARoute(t *testing.T) {
	documented := map[string]bool{}
	for path, calls := range read(t).Paths {
		for method := range calls {
			documented[strings.ToUpper(method)+" "+path] = true
		}
	}
	real := routed()
	for call := range real {
		if !documented[call] {
			t.Errorf("%s is a route, and not in the document", call)
		}
	}
	for call := range documented {
		if !real[call] {
			t.Errorf("%s is in the document, and no route", call)
		}
	}
}

func TestWhoMayCallIsDocumented(t *testing.T) {
	d := read(t)
	for _, r := range gateway.Routes() {
		o := d.Paths[template(r.Pattern)][strings.ToLower(r.Method)]
		_, operators := o.Security[0]["operator"]
		if operators != (r.Access == gateway.Operators) {
			t.Errorf("%s %s: the document says of its callers %v", r.Method, r.Pattern, o.Security)
		}
		if _, refused := o.Responses["403"]; refused != (r.Access != gateway.Anyone) {
			t.Errorf("%s %s: documented as answered 403: %v", r.Method, r.Pattern, refused)
		}
	}
}

// What every call through the gateway may be answered besides what is its own.
func TestEveryRefusalIsDocumented(t *testing.T) {
	d := read(t)
	for _, r := range gateway.Routes() {
		o := d.Paths[template(r.Pattern)][strings.ToLower(r.Method)]
		want := []string{"400", "401", "406", "413", "415", "429", "431", "500", "503", "504"}
		if strings.Contains(r.Pattern, ":") {
			want = append(want, "404")
		}
		for _, status := range want {
			if _, ok := o.Responses[status]; !ok {
				t.Errorf("%s %s: %s is missing", r.Method, r.Pattern, status)
			}
		}
	}
}

func TestEveryCallIsExplained(t *testing.T) {
	d := read(t)
	tags := map[string]bool{}
	for _, tag := range d.Tags {
		tags[tag.Name] = true
	}
	ids := map[string]string{}
	for path, calls := range d.Paths {
		for method, o := range calls {
			call := method + " " + path
			if o.Summary == "" || o.Description == "" || len(o.Tags) != 1 || !tags[o.Tags[0]] || len(o.Security) == 0 {
				t.Errorf("%s: a summary, a description, a known tag or who may call is missing: %+v", call, o)
			}
			if other, taken := ids[o.OperationID]; taken || o.OperationID == "" {
				t.Errorf("%s and %s have the id %q", call, other, o.OperationID)
			}
			ids[o.OperationID] = call
			if got, want := inPath(d, o), parametersOf(path); !slices.Equal(got, want) {
				t.Errorf("%s: parameters %v, want %v", call, got, want)
			}
		}
	}
}

// inPath are the names of a call's documented path parameters.
func inPath(d described, o operation) (names []string) {
	for _, p := range o.Parameters {
		if p.Ref != "" {
			p = d.Components.Parameters[strings.TrimPrefix(p.Ref, "#/components/parameters/")]
		}
		if p.In == "path" {
			names = append(names, p.Name)
		}
	}
	return names
}

func parametersOf(path string) (names []string) {
	for _, found := range regexp.MustCompile(`\{([A-Za-z]+)\}`).FindAllStringSubmatch(path, -1) {
		names = append(names, found[1])
	}
	return names
}

// body is the answer of an app that has only the document and its page.
func body(t *testing.T, path string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	app := web.New(web.Options{Service: "gateway"})
	openapi.Routes(app)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://shop"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := app.Test(r, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response, readAll(t, response)
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func readAll(t *testing.T, response *http.Response) []byte {
	t.Helper()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestTheDocumentIsServed(t *testing.T) {
	response, content := body(t, "/openapi.json")
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "application/json" || !bytes.Equal(content, openapi.Document()) {
		t.Errorf("%d %s with %d bytes", response.StatusCode, response.Header.Get("Content-Type"), len(content))
	}
}

var reference = regexp.MustCompile(`(?:src|href)="([^"]*)"`)

// The page consists of what this host serves, and its policy lets it load nothing else.
func TestThePageIsWholeWithoutAnotherHost(t *testing.T) {
	response, content := body(t, "/docs")
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %s", response.StatusCode, response.Header.Get("Content-Type"))
	}
	if policy := response.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "//") {
		t.Errorf("policy %q", policy)
	}
	references := reference.FindAllSubmatch(content, -1)
	if len(references) < 5 {
		t.Errorf("the page refers to %d things", len(references))
	}
	for _, found := range references {
		path := string(found[1])
		if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
			t.Errorf("%s is on another host", path)
		}
		if response, content := body(t, path); response.StatusCode != http.StatusOK || len(content) == 0 {
			t.Errorf("%s: %d with %d bytes", path, response.StatusCode, len(content))
		}
	}
}

func TestPartsAreSentAsTheyCanBeRead(t *testing.T) {
	const path = "/docs/swagger-ui-bundle.js"
	response, plain := body(t, path)
	if response.Header.Get("Content-Encoding") != "" || !bytes.Contains(plain, []byte("SwaggerUIBundle")) {
		t.Errorf("%q encoding, %d bytes", response.Header.Get("Content-Encoding"), len(plain))
	}
	response, zipped := body(t, path, "Accept-Encoding", "gzip, br")
	if response.Header.Get("Content-Encoding") != "gzip" || response.Header.Get("Vary") != "Accept-Encoding" || len(zipped) >= len(plain) {
		t.Fatalf("%q encoding, %d bytes of %d", response.Header.Get("Content-Encoding"), len(zipped), len(plain))
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := io.ReadAll(unzipped); err != nil || !bytes.Equal(again, plain) {
		t.Errorf("%d bytes once unzipped, %d plain: %v", len(again), len(plain), err)
	}
}

func TestThereAreNoOtherParts(t *testing.T) {
	for _, path := range []string{"/docs/docs.html", "/docs/..%2fopenapi.go", "/docs/oauth2-redirect.html"} {
		if response, _ := body(t, path); response.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, response.StatusCode)
		}
	}
}
