package openapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"bookstore/services/gateway/openapi"
	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
	"bookstore/services/shop/limits"
)

// tree is the document as a tree, and what its schemas say once compiled.
type tree struct {
	root     any
	compiler *jsonschema.Compiler
}

func parse(t *testing.T) tree {
	t.Helper()
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(openapi.Document()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("openapi.json", root); err != nil {
		t.Fatal(err)
	}
	return tree{root, compiler}
}

// walk calls visit for every object of the tree, with the pointer to it.
func walk(pointer string, node any, visit func(pointer string, object map[string]any)) {
	switch n := node.(type) {
	case map[string]any:
		visit(pointer, n)
		for _, name := range keys(n) {
			walk(pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), n[name], visit)
		}
	case []any:
		for i, item := range n {
			walk(fmt.Sprintf("%s/%d", pointer, i), item, visit)
		}
	}
}

// at follows a pointer of the form that $ref has.
func (d tree) at(ref string) any {
	node := d.root
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		object, ok := node.(map[string]any)
		if !ok {
			return nil
		}
		node = object[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
	}
	return node
}

func TestEveryReferenceLeadsSomewhereAndEveryComponentIsUsed(t *testing.T) {
	d := parse(t)
	used := map[string]bool{}
	walk("#", d.root, func(pointer string, object map[string]any) {
		ref, ok := object["$ref"].(string)
		if !ok {
			return
		}
		used[ref] = true
		if d.at(ref) == nil {
			t.Errorf("%s refers to %s, which is not there", pointer, ref)
		}
	})
	// The gateway answers so where there is no call to document it under, and
	// the events of a stream have no place of their own in the document.
	used["#/components/responses/MethodNotAllowed"], used["#/components/schemas/CheckoutEvent"] = true, true
	components, _ := d.at("#/components").(map[string]any)
	for kind, of := range components {
		if kind == "securitySchemes" {
			continue
		}
		for name := range of.(map[string]any) {
			if ref := "#/components/" + kind + "/" + name; !used[ref] {
				t.Errorf("%s is used nowhere", ref)
			}
		}
	}
}

// Schemas keep to JSON Schema 2020-12, and every example to the schema beside it.
func TestExamplesAreValid(t *testing.T) {
	d, checked := parse(t), 0
	walk("#", d.root, func(pointer string, object map[string]any) {
		if object["schema"] == nil || strings.Contains(pointer, "/properties/") {
			return
		}
		schema, err := d.compiler.Compile("openapi.json" + pointer + "/schema")
		if err != nil {
			t.Errorf("%s: %v", pointer, err)
			return
		}
		for name, value := range d.examples(object) {
			checked++
			if err := schema.Validate(value); err != nil {
				t.Errorf("%s: the example %s: %v", pointer, name, err)
			}
		}
	})
	if checked < 100 {
		t.Errorf("%d examples were checked", checked)
	}
}

// examples are those of a media type, a parameter or a header.
func (d tree) examples(object map[string]any) map[string]any {
	found := map[string]any{}
	if value, ok := object["example"]; ok {
		found["example"] = value
	}
	several, _ := object["examples"].(map[string]any)
	for name, example := range several {
		one, _ := example.(map[string]any)
		if ref, ok := one["$ref"].(string); ok {
			one, _ = d.at(ref).(map[string]any)
		}
		found[name] = one["value"]
	}
	return found
}

// inside are the kinds that services tell each other and no client.
var inside = []fault.Kind{kinds.PaymentDeclined, fault.Aborted, fault.Lost}

// Every problem of the document is one of platform/fault's, under its status, code
// and title, and each that a client can meet is in the document.
func TestProblemsAreTheFaults(t *testing.T) {
	var d described
	if err := json.Unmarshal(openapi.Document(), &d); err != nil {
		t.Fatal(err)
	}
	met := map[fault.Kind]bool{}
	for name, r := range d.Components.Responses {
		if _, plain := r.Content["text/plain"]; plain && len(r.Content) == 1 {
			continue // said by the ingress
		}
		ref := strings.TrimPrefix(r.Content["application/problem+json"].Schema.Ref, "#/components/schemas/")
		schema := d.Components.Schemas[ref]
		if len(schema.AllOf) != 2 || len(schema.AllOf[1].Properties.Status.Enum) != 1 {
			t.Errorf("%s is no problem with a status", name)
			continue
		}
		status, codes := schema.AllOf[1].Properties.Status.Enum[0], schema.AllOf[1].Properties.Code.Enum
		examples := r.Content["application/problem+json"].Examples
		if !slices.Equal(keys(examples), slices.Sorted(slices.Values(codes))) {
			t.Errorf("%s: codes %v, examples %v", name, codes, keys(examples))
		}
		for _, code := range codes {
			kind := fault.FromProblem(status, code)
			met[kind] = true
			if kind.Status() != status || kind.Code() != code || examples[code].Value.Title != kind.Title() {
				t.Errorf("%s: %d %s is not a problem of ours, or is titled %q there", name, status, code, kind.Title())
			}
		}
	}
	for _, kind := range fault.Kinds() {
		// Kinds that share a code are one problem to a client.
		if met[fault.FromProblem(kind.Status(), kind.Code())] == slices.Contains(inside, kind) {
			t.Errorf("%s: in the document %v", kind, met[kind])
		}
	}
}

// What programs that write clients trip over, each of them in a way of its own: they leave the answer out, write what
// does not compile, or have callers give what they need not give.
func TestSchemasCanBeMadeIntoTypes(t *testing.T) {
	d, seen := parse(t), 0
	walk("#", d.root, func(pointer string, object map[string]any) {
		if strings.Contains(pointer, "/example") || strings.HasSuffix(pointer, "/properties") {
			return
		}
		_, enum := object["enum"]
		if _, typed := object["type"]; enum {
			if seen++; !typed {
				t.Errorf("%s: its values are listed, and their type is not said", pointer)
			}
		}
		if _, is := object["const"]; is && !strings.HasSuffix(pointer, "/not") {
			t.Errorf("%s: a type with an enum of one value is what every generator knows, a const is not", pointer)
		}
		if _, is := object["properties"]; is && object["type"] != "object" {
			t.Errorf("%s: it has properties, and does not say that it is an object", pointer)
		}
		if _, is := object["default"]; is && strings.Contains(pointer, "/properties/") {
			t.Errorf("%s: a member with a default is one that must be given, in some languages; say it in words", pointer)
		}
		if all, is := object["allOf"]; is && !strings.HasPrefix(pointer, "#/components/schemas/") {
			t.Errorf("%s: %v has no name, so that each call gets a type of its own for it", pointer, all)
		}
	})
	if seen < 50 {
		t.Errorf("%d enums were looked at", seen)
	}
}

// Clients are made from a file, which is relative to nothing.
func TestTheFirstServerIsWhole(t *testing.T) {
	var d struct{ Servers []struct{ URL string } }
	if err := json.Unmarshal(openapi.Document(), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Servers) == 0 {
		t.Fatal("there is no server")
	}
	if base, err := url.Parse(d.Servers[0].URL); err != nil || !base.IsAbs() || base.Host == "" || strings.HasSuffix(d.Servers[0].URL, "/") {
		t.Errorf("%v: a client made from the document begins its addresses with %q", err, d.Servers[0].URL)
	}
}

// The document states the limits that the services keep, wherever a member of that name stands.
func TestLimitsAreTheServices(t *testing.T) {
	d := parse(t)
	stated := map[string]int{}
	walk("#", d.root, func(pointer string, object map[string]any) {
		schema, name, ok := strings.Cut(pointer, "/properties/")
		if !ok || !strings.HasPrefix(schema, "#/components/schemas/") {
			return
		}
		order := schema == "#/components/schemas/OrderItem" || schema == "#/components/schemas/OrderLine"
		var keyword string
		var want int64
		switch {
		case name == "customerId":
			keyword, want = "maxLength", limits.CustomerID
		case name == "title" && object["maxLength"] != nil:
			keyword, want = "maxLength", limits.Title
		case name == "quantity" && order:
			keyword, want = "maximum", limits.Quantity
		case name == "priceCents", name == "unitPriceCents" && schema == "#/components/schemas/OrderItem":
			keyword, want = "maximum", limits.Price
		case name == "totalCents":
			keyword, want = "maximum", limits.Total
		case name == "items" && !strings.HasSuffix(schema, "List"):
			keyword, want = "maxItems", limits.OrderItems
		default:
			return
		}
		stated[name]++
		if got := number(object[keyword]); got != want {
			t.Errorf("%s: %s is %d, and the services keep %d", pointer, keyword, got, want)
		}
	})
	for _, name := range []string{"customerId", "title", "quantity", "priceCents", "totalCents", "items"} {
		if stated[name] == 0 {
			t.Errorf("no %s is stated", name)
		}
	}
}

// number reads a keyword's value, -1 where there is none.
func number(value any) int64 {
	n, ok := value.(json.Number)
	if !ok {
		return -1
	}
	i, err := n.Int64()
	if err != nil {
		return -1
	}
	return i
}
