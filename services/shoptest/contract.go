package shoptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// documentFile is the API's document, below the top of the repository; the shop serves it at
// /openapi.json.
const documentFile = "services/gateway/openapi/openapi.json"

// DocumentFile is the path of the API's document.
func DocumentFile() string { return Repository(documentFile) }

// Contract is the API's document, compiled, so that answers can be checked against it.
type Contract struct {
	Raw      []byte
	root     any
	compiler *jsonschema.Compiler
	made     map[string]*documented // responses by the pointer to them
	Calls    []documentedCall
	// The answers to requests that match no call, or no call with this method: by status, like a call's answers.
	nowhere, otherwise map[string]*documented
}

// documentedCall is one call and what it may be answered, by status.
type documentedCall struct {
	Method   string
	Segments []string // of its path; a parameter begins with {
	answers  map[string]*documented
}

// documented is one answer of the document.
type documented struct {
	headers map[string]documentedHeader
	bodies  map[string]*jsonschema.Schema // by media type, nil where it says nothing; none: no body
}

// streams tells whether it is a stream of events.
func (d *documented) streams() bool { _, ok := d.bodies["text/event-stream"]; return ok }

type documentedHeader struct {
	required, number bool
	schema           *jsonschema.Schema
}

// APIContract reads and compiles the document, once for all tests.
var APIContract = sync.OnceValues(func() (*Contract, error) {
	raw, err := os.ReadFile(DocumentFile())
	if err != nil {
		return nil, err
	}
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	c := &Contract{Raw: raw, root: root, compiler: jsonschema.NewCompiler(), made: map[string]*documented{}}
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource("openapi.json", root); err != nil {
		return nil, err
	}
	return c, c.read()
})

func (c *Contract) read() error {
	paths := c.object("#/paths")
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for _, method := range slices.Sorted(maps.Keys(paths[path].(map[string]any))) {
			pointer := "#/paths/" + escaped(path) + "/" + method + "/responses"
			call := documentedCall{strings.ToUpper(method), strings.Split(path, "/"), map[string]*documented{}}
			for status := range c.object(pointer) {
				answer, err := c.answer(pointer + "/" + status)
				if err != nil {
					return err
				}
				call.answers[status] = answer
			}
			c.Calls = append(c.Calls, call)
			if ok := call.answers["200"]; method == "get" && !ok.streams() { // what is read can be asked for with HEAD too
				call.Method = http.MethodHead
				c.Calls = append(c.Calls, call)
			}
		}
	}
	var err error
	if c.nowhere, err = c.answers("NotFound"); err == nil {
		c.otherwise, err = c.answers("MethodNotAllowed")
	}
	return err
}

// answers are a component and what any request may be answered besides.
func (c *Contract) answers(component string) (map[string]*documented, error) {
	found := map[string]*documented{}
	for status, name := range map[string]string{
		"404": "NotFound", "405": "MethodNotAllowed", "413": "BodyTooLarge", "431": "HeadTooLarge",
		"500": "Internal", "503": "Unavailable", "504": "DeadlineExceeded",
	} {
		if (status == "404" || status == "405") && name != component {
			continue
		}
		answer, err := c.answer("#/components/responses/" + name)
		if err != nil {
			return nil, err
		}
		found[status] = answer
	}
	return found, nil
}

// answer compiles the response at a pointer.
func (c *Contract) answer(pointer string) (*documented, error) {
	if ref, ok := c.object(pointer)["$ref"].(string); ok {
		pointer = ref
	}
	if made, ok := c.made[pointer]; ok {
		return made, nil
	}
	d := &documented{headers: map[string]documentedHeader{}, bodies: map[string]*jsonschema.Schema{}}
	for name := range c.object(pointer + "/headers") {
		h, err := c.header(pointer + "/headers/" + escaped(name))
		if err != nil {
			return nil, err
		}
		d.headers[name] = h
	}
	for kind, content := range c.object(pointer + "/content") {
		d.bodies[kind] = nil
		if content.(map[string]any)["schema"] == nil || !strings.HasSuffix(kind, "json") {
			continue
		}
		schema, err := c.compiler.Compile("openapi.json" + pointer + "/content/" + escaped(kind) + "/schema")
		if err != nil {
			return nil, err
		}
		d.bodies[kind] = schema
	}
	c.made[pointer] = d
	return d, nil
}

func (c *Contract) header(pointer string) (h documentedHeader, err error) {
	if ref, ok := c.object(pointer)["$ref"].(string); ok {
		pointer = ref
	}
	h.required, _ = c.object(pointer)["required"].(bool)
	h.number = c.object(pointer + "/schema")["type"] == "integer"
	h.schema, err = c.compiler.Compile("openapi.json" + pointer + "/schema")
	return h, err
}

// Schema compiles one of the document's named schemas.
func (c *Contract) Schema(t testing.TB, name string) *jsonschema.Schema {
	t.Helper()
	schema, err := c.compiler.Compile("openapi.json#/components/schemas/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// object is the one at a pointer; nil where there is none.
func (c *Contract) object(pointer string) map[string]any {
	node := c.root
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "#/"), "/") {
		object, _ := node.(map[string]any)
		node = object[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
	}
	object, _ := node.(map[string]any)
	return object
}

func escaped(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }

// check returns what about an answer is not as documented.
func (c *Contract) check(method, target string, a *Answer) error {
	path, _, _ := strings.Cut(target, "?")
	d, ok := c.find(method, path)[strconv.Itoa(a.Status)]
	if !ok {
		return errors.New("this status is not documented")
	}
	return errors.Join(d.checkHeaders(a.Header), d.checkBody(a, method == http.MethodHead))
}

// find returns what a request may be answered, by status.
func (c *Contract) find(method, path string) map[string]*documented {
	segments := strings.Split(path, "/")
	answers, literal := c.nowhere, -1
	for _, call := range c.Calls {
		n, ok := matches(call.Segments, segments)
		switch {
		case !ok:
		case call.Method == method && n > literal:
			answers, literal = call.answers, n
		case literal < 0:
			answers = c.otherwise
		}
	}
	return answers
}

// matches tells whether a path is of a template, and in how many segments it is
// literally so.
func matches(template, path []string) (literal int, ok bool) {
	if len(template) != len(path) {
		return 0, false
	}
	for i, segment := range template {
		switch {
		case segment == path[i]:
			literal++
		case !strings.HasPrefix(segment, "{") || path[i] == "":
			return 0, false
		}
	}
	return literal, true
}

func (d *documented) checkHeaders(given http.Header) error {
	var wrong []error
	for name, h := range d.headers {
		values := given.Values(name)
		switch {
		case len(values) == 0 && h.required:
			wrong = append(wrong, fmt.Errorf("header %s is missing", name))
		case len(values) > 1:
			wrong = append(wrong, fmt.Errorf("header %s is there %d times", name, len(values)))
		case len(values) == 1:
			if err := h.check(values[0]); err != nil {
				wrong = append(wrong, fmt.Errorf("header %s is %q: %w", name, values[0], err))
			}
		}
	}
	return errors.Join(wrong...)
}

func (h documentedHeader) check(text string) error {
	if h.number {
		return h.schema.Validate(json.Number(text))
	}
	return h.schema.Validate(text)
}

func (d *documented) checkBody(a *Answer, head bool) error {
	given := a.Header.Get("Content-Type")
	if len(d.bodies) == 0 {
		if len(a.Body) > 0 {
			return errors.New("there is a body, and none is documented")
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(given)
	if err != nil {
		return fmt.Errorf("content type %q: %w", given, err)
	}
	schema, ok := d.bodies[kind]
	switch {
	case !ok:
		return fmt.Errorf("content type %q is not documented", given)
	case schema == nil || head:
		return nil
	}
	body, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.Body))
	if err != nil {
		return err
	}
	return schema.Validate(body)
}

// mostViolations bounds how many a client reports.
const mostViolations = 10

// checked returns what each client does with each answer: one that is not as documented
// fails the test.
func checked(t testing.TB) func(k Call, a *Answer) {
	t.Helper()
	c, err := APIContract()
	if err != nil {
		t.Fatal(err)
	}
	var violations atomic.Int64
	return func(k Call, a *Answer) {
		if fromProxy(a) {
			return
		}
		if err := c.check(k.Method, k.Path, a); err != nil && violations.Add(1) <= mostViolations {
			t.Errorf("%s %s was not answered as documented: %v\n%d %v %.1000s", k.Method, k.Path, err, a.Status, a.Header, a.Body)
		}
	}
}

// fromProxy tells whether the ingress itself answered, having reached no gateway:
// that is documented in words, but has none of our headers.
func fromProxy(a *Answer) bool {
	switch a.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return a.Header.Get("X-Request-Id") == "" && strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain")
	}
	return false
}
