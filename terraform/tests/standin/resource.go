package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

func number(v tftypes.Value) (float64, error) {
	var n big.Float
	if err := v.As(&n); err != nil {
		return 0, err
	}
	f, _ := n.Float64()
	return f, nil
}

// password makes so many digits.
func password(length int) string {
	bytes := make([]byte, length)
	_, _ = rand.Read(bytes) // it never fails
	return hex.EncodeToString(bytes)[:length]
}

func (s *server) ValidateResourceConfig(context.Context, *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	return &tfprotov6.ValidateResourceConfigResponse{}, nil
}

func (s *server) UpgradeResourceState(_ context.Context, req *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	v, err := req.RawState.Unmarshal(s.schema.ResourceSchemas[req.TypeName].ValueType())
	if err != nil {
		return &tfprotov6.UpgradeResourceStateResponse{Diagnostics: failed(err)}, nil
	}
	state, err := encoded(v)
	return &tfprotov6.UpgradeResourceStateResponse{UpgradedState: state, Diagnostics: failed(err)}, nil
}

// ReadResource says that nothing changed; a variable that somebody removed is gone.
func (s *server) ReadResource(_ context.Context, req *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	answer := &tfprotov6.ReadResourceResponse{NewState: req.CurrentState}
	if req.TypeName != "nomad_variable" {
		return answer, nil
	}
	v, err := req.CurrentState.Unmarshal(s.schema.ResourceSchemas[req.TypeName].ValueType())
	if err == nil {
		var found bool
		if _, found, err = s.world.variable(text(v, "id")); err == nil && !found {
			answer.NewState, err = encoded(tftypes.NewValue(v.Type(), nil))
		}
	}
	answer.Diagnostics = failed(err)
	return answer, nil
}

func (s *server) PlanResourceChange(_ context.Context, req *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	schema := s.schema.ResourceSchemas[req.TypeName]
	v, err := req.ProposedNewState.Unmarshal(schema.ValueType())
	if err == nil {
		v, err = planned(schema.Block, v)
	}
	if err != nil {
		return &tfprotov6.PlanResourceChangeResponse{Diagnostics: failed(err)}, nil
	}
	state, err := encoded(v)
	return &tfprotov6.PlanResourceChangeResponse{PlannedState: state, Diagnostics: failed(err)}, nil
}

func (s *server) ApplyResourceChange(_ context.Context, req *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	kind := s.schema.ResourceSchemas[req.TypeName].ValueType()
	v, err := req.PlannedState.Unmarshal(kind)
	if err == nil && !v.IsNull() {
		err = s.refusal(req.TypeName, v)
	}
	if err == nil && req.TypeName == "nomad_variable" {
		err = s.applyVariable(req, v)
	}
	if err == nil && !v.IsNull() {
		v, err = known(identity(req.TypeName, v), v)
	}
	if err != nil {
		return &tfprotov6.ApplyResourceChangeResponse{NewState: req.PriorState, Diagnostics: failed(err)}, nil
	}
	state, err := encoded(v)
	return &tfprotov6.ApplyResourceChangeResponse{NewState: state, Diagnostics: failed(err)}, nil
}

// refusal is the failure that was asked for.
func (s *server) refusal(kind string, v tftypes.Value) error {
	for _, name := range []string{"path", "name"} {
		if s.fails != "" && s.fails == kind+"."+text(v, name) {
			return fmt.Errorf("%s fails, as STANDIN_FAILS says", s.fails)
		}
	}
	return nil
}

// applyVariable writes the items where they are new: what is only written is written again with another version alone.
func (s *server) applyVariable(req *tfprotov6.ApplyResourceChangeRequest, next tftypes.Value) error {
	kind := s.schema.ResourceSchemas[req.TypeName].ValueType()
	prior, err := req.PriorState.Unmarshal(kind)
	if err != nil {
		return err
	}
	if next.IsNull() {
		return s.world.remove(text(prior, "id"))
	}
	config, err := req.Config.Unmarshal(kind)
	if err != nil {
		return err
	}
	id := variableID(text(next, "path"), text(next, "namespace"))
	before, err := fields(prior)
	if err != nil {
		return err
	}
	now, err := fields(next)
	if err != nil {
		return err
	}
	items := text(config, "items_wo")
	if items == "" {
		return errors.New("the stand-in takes items that are only written (items_wo), as the modules have them")
	}
	if !prior.IsNull() && before["items_wo_version"].Equal(now["items_wo_version"]) {
		return nil
	}
	return s.world.write(id, items)
}

// ImportResourceState knows nothing but the id: the plan that follows shows every argument as new.
func (s *server) ImportResourceState(_ context.Context, req *tfprotov6.ImportResourceStateRequest) (*tfprotov6.ImportResourceStateResponse, error) {
	schema := s.schema.ResourceSchemas[req.TypeName].Block
	parts := map[string]tftypes.Value{}
	for _, a := range schema.Attributes {
		parts[a.Name] = tftypes.NewValue(a.ValueType(), nil)
	}
	for _, b := range schema.BlockTypes {
		parts[b.TypeName] = tftypes.NewValue(b.ValueType(), nil)
		if b.Nesting != tfprotov6.SchemaNestedBlockNestingModeSingle {
			parts[b.TypeName] = tftypes.NewValue(b.ValueType(), []tftypes.Value{})
		}
	}
	parts["id"] = tftypes.NewValue(tftypes.String, req.ID)
	state, err := encoded(tftypes.NewValue(schema.ValueType(), parts))
	return &tfprotov6.ImportResourceStateResponse{
		ImportedResources: []*tfprotov6.ImportedResource{{TypeName: req.TypeName, State: state}}, Diagnostics: failed(err),
	}, nil
}
