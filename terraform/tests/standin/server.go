package main

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// server answers what Terraform asks of a provider. What it does not implement, functions and the like, its schema does
// not offer, so nobody asks for it.
type server struct {
	tfprotov6.ProviderServer

	schema *tfprotov6.GetProviderSchemaResponse
	world  world
	fails  string
}

func newServer(known facts, w world, fails string) (*server, error) {
	config, err := known.Config.schema()
	if err != nil {
		return nil, err
	}
	s := &server{world: w, fails: fails, schema: &tfprotov6.GetProviderSchemaResponse{
		Provider: &tfprotov6.Schema{Block: config}, Functions: map[string]*tfprotov6.Function{},
	}}
	if s.schema.ResourceSchemas, err = schemas(known.Resources); err != nil {
		return nil, err
	}
	if s.schema.DataSourceSchemas, err = schemas(known.Data); err != nil {
		return nil, err
	}
	s.schema.EphemeralResourceSchemas, err = schemas(known.Ephemeral)
	return s, err
}

// failed is an error as Terraform shows it.
func failed(err error) []*tfprotov6.Diagnostic {
	if err == nil {
		return nil
	}
	return []*tfprotov6.Diagnostic{{Severity: tfprotov6.DiagnosticSeverityError, Summary: "stand-in: " + err.Error()}}
}

func encoded(v tftypes.Value) (*tfprotov6.DynamicValue, error) {
	made, err := tfprotov6.NewDynamicValue(v.Type(), v)
	return &made, err
}

func (s *server) GetMetadata(context.Context, *tfprotov6.GetMetadataRequest) (*tfprotov6.GetMetadataResponse, error) {
	return &tfprotov6.GetMetadataResponse{}, nil
}

func (s *server) GetProviderSchema(context.Context, *tfprotov6.GetProviderSchemaRequest) (*tfprotov6.GetProviderSchemaResponse, error) {
	return s.schema, nil
}

func (s *server) GetResourceIdentitySchemas(context.Context, *tfprotov6.GetResourceIdentitySchemasRequest) (*tfprotov6.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov6.GetResourceIdentitySchemasResponse{}, nil
}

func (s *server) ValidateProviderConfig(_ context.Context, req *tfprotov6.ValidateProviderConfigRequest) (*tfprotov6.ValidateProviderConfigResponse, error) {
	return &tfprotov6.ValidateProviderConfigResponse{PreparedConfig: req.Config}, nil
}

func (s *server) ConfigureProvider(context.Context, *tfprotov6.ConfigureProviderRequest) (*tfprotov6.ConfigureProviderResponse, error) {
	return &tfprotov6.ConfigureProviderResponse{}, nil
}

func (s *server) StopProvider(context.Context, *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	return &tfprotov6.StopProviderResponse{}, nil
}

func (s *server) ValidateDataResourceConfig(context.Context, *tfprotov6.ValidateDataResourceConfigRequest) (*tfprotov6.ValidateDataResourceConfigResponse, error) {
	return &tfprotov6.ValidateDataResourceConfigResponse{}, nil
}

func (s *server) ValidateEphemeralResourceConfig(context.Context, *tfprotov6.ValidateEphemeralResourceConfigRequest) (*tfprotov6.ValidateEphemeralResourceConfigResponse, error) {
	return &tfprotov6.ValidateEphemeralResourceConfigResponse{}, nil
}

func (s *server) CloseEphemeralResource(context.Context, *tfprotov6.CloseEphemeralResourceRequest) (*tfprotov6.CloseEphemeralResourceResponse, error) {
	return &tfprotov6.CloseEphemeralResourceResponse{}, nil
}

// ReadDataSource answers the list of nodes; of anything else a word.
func (s *server) ReadDataSource(_ context.Context, req *tfprotov6.ReadDataSourceRequest) (*tfprotov6.ReadDataSourceResponse, error) {
	schema := s.schema.DataSourceSchemas[req.TypeName]
	v, err := req.Config.Unmarshal(schema.ValueType())
	if err == nil {
		v, err = planned(schema.Block, v)
	}
	if err == nil && req.TypeName == "nomad_nodes" {
		v, err = listed(v)
	}
	if err == nil {
		v, err = known(identity(req.TypeName, v), v)
	}
	if err != nil {
		return &tfprotov6.ReadDataSourceResponse{Diagnostics: failed(err)}, nil
	}
	state, err := encoded(v)
	return &tfprotov6.ReadDataSourceResponse{State: state, Diagnostics: failed(err)}, nil
}

func listed(v tftypes.Value) (tftypes.Value, error) {
	parts, err := fields(v)
	if err != nil {
		return v, err
	}
	//nolint:staticcheck // there is no other reader of JSON for a type
	if parts["nodes"], err = tftypes.ValueFromJSON([]byte(nodes), parts["nodes"].Type()); err != nil {
		return v, err
	}
	return tftypes.NewValue(v.Type(), parts), nil
}

// OpenEphemeralResource makes a password, or reads a variable of Nomad, as the provider does: not without a namespace.
func (s *server) OpenEphemeralResource(_ context.Context, req *tfprotov6.OpenEphemeralResourceRequest) (*tfprotov6.OpenEphemeralResourceResponse, error) {
	schema := s.schema.EphemeralResourceSchemas[req.TypeName]
	v, err := req.Config.Unmarshal(schema.ValueType())
	if err == nil {
		v, err = planned(schema.Block, v)
	}
	if err == nil {
		v, err = s.opened(req.TypeName, v)
	}
	if err == nil {
		v, err = known(identity(req.TypeName, v), v)
	}
	if err != nil {
		return &tfprotov6.OpenEphemeralResourceResponse{Diagnostics: failed(err)}, nil
	}
	result, err := encoded(v)
	return &tfprotov6.OpenEphemeralResourceResponse{Result: result, Diagnostics: failed(err)}, nil
}

func (s *server) opened(kind string, v tftypes.Value) (tftypes.Value, error) {
	parts, err := fields(v)
	if err != nil {
		return v, err
	}
	switch kind {
	case "random_password":
		var length float64
		if length, err = number(parts["length"]); err != nil {
			return v, err
		}
		parts["result"] = tftypes.NewValue(tftypes.String, password(int(length)))
	case "random_bytes":
		var length float64
		if length, err = number(parts["length"]); err != nil {
			return v, err
		}
		parts["hex"] = tftypes.NewValue(tftypes.String, password(2*int(length)))
	case "nomad_variable":
		if text(v, "namespace") == "" {
			return v, fmt.Errorf("the variable %s without its namespace cannot be read", text(v, "path"))
		}
		items, found, err := s.world.variable(variableID(text(v, "path"), text(v, "namespace")))
		if err != nil {
			return v, err
		}
		if !found {
			return v, fmt.Errorf("there is no variable %s", text(v, "path"))
		}
		pairs := map[string]tftypes.Value{}
		for key, value := range items {
			pairs[key] = tftypes.NewValue(tftypes.String, value)
		}
		parts["items"] = tftypes.NewValue(parts["items"].Type(), pairs)
	}
	return tftypes.NewValue(v.Type(), parts), nil
}
