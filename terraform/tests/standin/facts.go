package main

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// facts is what is known of a provider: the arguments of what the modules use. The files facts/*.json are facts of the
// providers' schemas ('terraform providers schema -json'), or, where that was not to be had, of their documentation.
type facts struct {
	About     string           `json:"about"`
	Source    string           `json:"source"`
	Version   string           `json:"version"`
	Config    block            `json:"config"`
	Resources map[string]block `json:"resources"`
	Data      map[string]block `json:"data"`
	Ephemeral map[string]block `json:"ephemeral"`
}

type block struct {
	Nesting    string               `json:"nesting"`
	Min        int64                `json:"min"`
	Max        int64                `json:"max"`
	Attributes map[string]attribute `json:"attributes"`
	Blocks     map[string]block     `json:"blocks"`
}

// attribute has a type in Terraform's notation, or the attributes of an object (nested), one, a list or a map of them. Mode is
// required, optional, computed or optional+computed.
type attribute struct {
	Type       json.RawMessage      `json:"type"`
	Nesting    string               `json:"nesting"`
	Nested     map[string]attribute `json:"nested"`
	Mode       string               `json:"mode"`
	Sensitive  bool                 `json:"sensitive"`
	WriteOnly  bool                 `json:"write_only"`
	Deprecated bool                 `json:"deprecated"`
}

//go:embed facts/*.json
var files embed.FS

func load(provider string) (facts, error) {
	text, err := files.ReadFile("facts/" + provider + ".json")
	if err != nil {
		return facts{}, fmt.Errorf("the stand-in knows nothing of a provider %s: %w", provider, err)
	}
	var known facts
	return known, json.Unmarshal(text, &known)
}

// schemas makes what Terraform is told of each kind.
func schemas(kinds map[string]block) (map[string]*tfprotov6.Schema, error) {
	made := map[string]*tfprotov6.Schema{}
	for name, b := range kinds {
		schema, err := b.schema()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		made[name] = &tfprotov6.Schema{Block: schema}
	}
	return made, nil
}

var blockNestings = map[string]tfprotov6.SchemaNestedBlockNestingMode{
	"single": tfprotov6.SchemaNestedBlockNestingModeSingle,
	"list":   tfprotov6.SchemaNestedBlockNestingModeList,
	"set":    tfprotov6.SchemaNestedBlockNestingModeSet,
}

func (b block) schema() (*tfprotov6.SchemaBlock, error) {
	made := &tfprotov6.SchemaBlock{}
	for _, name := range slices.Sorted(maps.Keys(b.Attributes)) {
		a, err := b.Attributes[name].schema(name)
		if err != nil {
			return nil, err
		}
		made.Attributes = append(made.Attributes, a)
	}
	for _, name := range slices.Sorted(maps.Keys(b.Blocks)) {
		inner, err := b.Blocks[name].schema()
		if err != nil {
			return nil, err
		}
		nested := b.Blocks[name]
		made.BlockTypes = append(made.BlockTypes, &tfprotov6.SchemaNestedBlock{
			TypeName: name, Block: inner, Nesting: blockNestings[nested.Nesting], MinItems: nested.Min, MaxItems: nested.Max,
		})
	}
	return made, nil
}

var objectNestings = map[string]tfprotov6.SchemaObjectNestingMode{
	"single": tfprotov6.SchemaObjectNestingModeSingle,
	"list":   tfprotov6.SchemaObjectNestingModeList,
	"set":    tfprotov6.SchemaObjectNestingModeSet,
	"map":    tfprotov6.SchemaObjectNestingModeMap,
}

func (a attribute) schema(name string) (*tfprotov6.SchemaAttribute, error) {
	made := &tfprotov6.SchemaAttribute{
		Name: name, Sensitive: a.Sensitive, WriteOnly: a.WriteOnly, Deprecated: a.Deprecated,
		Required: a.Mode == "required",
		Optional: strings.HasPrefix(a.Mode, "optional"),
		Computed: strings.HasSuffix(a.Mode, "computed"),
	}
	if a.Nested == nil {
		var err error
		if made.Type, err = parseType(a.Type); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return made, nil
	}
	made.NestedType = &tfprotov6.SchemaObject{Nesting: objectNestings[a.Nesting]}
	for _, inner := range slices.Sorted(maps.Keys(a.Nested)) {
		nested, err := a.Nested[inner].schema(inner)
		if err != nil {
			return nil, err
		}
		made.NestedType.Attributes = append(made.NestedType.Attributes, nested)
	}
	return made, nil
}

// parseType reads Terraform's notation of a type: "string", ["list", "string"], ["object", {"name": "string"}].
func parseType(text json.RawMessage) (tftypes.Type, error) {
	var word string
	if json.Unmarshal(text, &word) == nil {
		known := map[string]tftypes.Type{"string": tftypes.String, "number": tftypes.Number, "bool": tftypes.Bool}[word]
		if known == nil {
			return nil, fmt.Errorf("no type %q", word)
		}
		return known, nil
	}
	var pair []json.RawMessage
	if err := json.Unmarshal(text, &pair); err != nil || len(pair) != 2 || json.Unmarshal(pair[0], &word) != nil {
		return nil, fmt.Errorf("no type: %s", text)
	}
	if word == "object" {
		return parseObject(pair[1])
	}
	element, err := parseType(pair[1])
	if err != nil {
		return nil, err
	}
	switch word {
	case "list":
		return tftypes.List{ElementType: element}, nil
	case "set":
		return tftypes.Set{ElementType: element}, nil
	case "map":
		return tftypes.Map{ElementType: element}, nil
	}
	return nil, errors.New("no type " + word)
}

func parseObject(text json.RawMessage) (tftypes.Type, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	object := tftypes.Object{AttributeTypes: map[string]tftypes.Type{}}
	for name, inner := range fields {
		field, err := parseType(inner)
		if err != nil {
			return nil, err
		}
		object.AttributeTypes[name] = field
	}
	return object, nil
}
