package acme

import (
	"context"
	"errors"
	"fmt"

	nomad "github.com/hashicorp/nomad/api"
)

// The variables that this program may write (jobs/acl/nomad/acme-acme.hcl): the ingress' certificate and challenge, and
// its own account.
const (
	ingressPath = "nomad/jobs/ingress"
	ownPath     = "nomad/jobs/acme"
)

// store are Nomad's variables.
type store struct{ variables *nomad.Variables }

// read returns what a variable has; nothing if there is no variable.
func (s store) read(ctx context.Context, path string) (nomad.VariableItems, error) {
	v, _, err := s.variables.Peek(path, (&nomad.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("read the variable %s: %w", path, err)
	}
	if v == nil {
		return nil, nil
	}
	return v.Items, nil
}

// change gives a variable the items that edit makes of those that it has. Where another changed it meanwhile it begins
// again, five times at most.
func (s store) change(ctx context.Context, path string, edit func(nomad.VariableItems)) error {
	var err error
	for range 5 {
		var v *nomad.Variable
		v, _, err = s.variables.Peek(path, (&nomad.QueryOptions{}).WithContext(ctx))
		if err != nil {
			break
		}
		if v == nil {
			v = nomad.NewVariable(path) // its index is 0: to be made by nobody else meanwhile
		}
		edit(v.Items)
		_, _, err = s.variables.CheckedUpdate(v, (&nomad.WriteOptions{}).WithContext(ctx))
		if _, conflict := errors.AsType[nomad.ErrCASConflict](err); !conflict {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("write the variable %s: %w", path, err)
	}
	return nil
}
