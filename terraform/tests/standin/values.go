package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// fields takes an object apart; a null has none.
func fields(v tftypes.Value) (map[string]tftypes.Value, error) {
	parts := map[string]tftypes.Value{}
	if v.IsNull() || !v.IsKnown() {
		return parts, nil
	}
	return parts, v.As(&parts)
}

// text is a string of an object, or nothing where that is null or unknown.
func text(v tftypes.Value, name string) string {
	parts, err := fields(v)
	if err != nil {
		return ""
	}
	var said string
	if part, ok := parts[name]; ok && part.Type().Is(tftypes.String) && part.IsKnown() && !part.IsNull() {
		_ = part.As(&said)
	}
	return said
}

// planned is what a resource will be: what is computed and not there yet is unknown, what is only written is not kept.
func planned(b *tfprotov6.SchemaBlock, v tftypes.Value) (tftypes.Value, error) {
	if v.IsNull() || !v.IsKnown() {
		return v, nil
	}
	parts, err := fields(v)
	if err != nil {
		return v, err
	}
	for _, a := range b.Attributes {
		switch {
		case a.WriteOnly:
			parts[a.Name] = tftypes.NewValue(a.ValueType(), nil)
		case a.Computed && parts[a.Name].IsNull():
			parts[a.Name] = tftypes.NewValue(a.ValueType(), tftypes.UnknownValue)
		}
	}
	for _, inner := range b.BlockTypes {
		if parts[inner.TypeName], err = plannedBlocks(inner, parts[inner.TypeName]); err != nil {
			return v, err
		}
	}
	return tftypes.NewValue(v.Type(), parts), nil
}

func plannedBlocks(b *tfprotov6.SchemaNestedBlock, v tftypes.Value) (tftypes.Value, error) {
	if b.Nesting == tfprotov6.SchemaNestedBlockNestingModeSingle {
		return planned(b.Block, v)
	}
	if v.IsNull() || !v.IsKnown() {
		return v, nil
	}
	var each []tftypes.Value
	if err := v.As(&each); err != nil {
		return v, err
	}
	for i := range each {
		var err error
		if each[i], err = planned(b.Block, each[i]); err != nil {
			return v, err
		}
	}
	return tftypes.NewValue(v.Type(), each), nil
}

// known gives each unknown a value: an id of its own, else a word, a number, or nothing in it.
func known(id string, v tftypes.Value) (tftypes.Value, error) {
	return tftypes.Transform(v, func(at *tftypes.AttributePath, part tftypes.Value) (tftypes.Value, error) {
		if part.IsKnown() {
			return part, nil
		}
		name, _ := at.LastStep().(tftypes.AttributeName)
		kind := part.Type()
		switch {
		case kind.Is(tftypes.String) && name == "id":
			return tftypes.NewValue(kind, id), nil
		case kind.Is(tftypes.String):
			return tftypes.NewValue(kind, "standin-"+strings.ReplaceAll(string(name), "_", "-")), nil
		case kind.Is(tftypes.Number):
			return tftypes.NewValue(kind, 1), nil
		case kind.Is(tftypes.Bool):
			return tftypes.NewValue(kind, false), nil
		case kind.Is(tftypes.Map{}):
			return tftypes.NewValue(kind, map[string]tftypes.Value{}), nil
		case kind.Is(tftypes.List{}), kind.Is(tftypes.Set{}):
			return tftypes.NewValue(kind, []tftypes.Value{}), nil
		}
		return tftypes.NewValue(kind, nil), nil
	})
}

var jobName = regexp.MustCompile(`(?m)^job\s+"([^"]+)"`)

// identity is the id that the true provider gives, as far as modules rely on it.
func identity(kind string, v tftypes.Value) string {
	switch kind {
	case "nomad_variable":
		return variableID(text(v, "path"), text(v, "namespace"))
	case "nomad_job":
		if found := jobName.FindStringSubmatch(text(v, "jobspec")); found != nil {
			return found[1]
		}
	}
	sum := sha256.Sum256([]byte(kind + v.String()))
	if strings.HasPrefix(kind, "hcloud_") { // numbers, which other arguments take as such
		return decimal(binary.BigEndian.Uint32(sum[:]))
	}
	digits := hex.EncodeToString(sum[:16])
	return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:]
}
