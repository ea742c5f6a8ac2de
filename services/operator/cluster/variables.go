package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"

	nomad "github.com/hashicorp/nomad/api"
)

// path is where a job's own variable is: the one that it may read without more.
func path(job string) string { return "nomad/jobs/" + job }

// Items are what a job's variable has; none if there is no variable.
func (c *Cluster) Items(ctx context.Context, job string) (nomad.VariableItems, error) {
	v, _, err := c.Nomad.Variables().Peek(path(job), Query(ctx))
	if err != nil || v == nil {
		return nil, err
	}
	return v.Items, nil
}

// Item is one item of a job's variable; an error if it is not there.
func (c *Cluster) Item(ctx context.Context, job, key string) (string, error) {
	items, err := c.Items(ctx, job)
	if err != nil {
		return "", fmt.Errorf("read the variable %s: %w", path(job), err)
	}
	value, ok := items[key]
	if !ok {
		return "", fmt.Errorf("the variable %s has no %s: 'go tool task up' makes it", path(job), key)
	}
	return value, nil
}

// Change gives a job's variable the items that change makes of those that it has, unless another changed it meanwhile.
// It tells whether anything is different now.
func (c *Cluster) Change(ctx context.Context, job string, change func(nomad.VariableItems)) (bool, error) {
	return c.change(ctx, path(job), change)
}

// ChangeShared changes the variable that every job may read, as Change does a job's own.
func (c *Cluster) ChangeShared(ctx context.Context, change func(nomad.VariableItems)) (bool, error) {
	return c.change(ctx, "nomad/jobs", change)
}

func (c *Cluster) change(ctx context.Context, path string, change func(nomad.VariableItems)) (bool, error) {
	v, _, err := c.Nomad.Variables().Peek(path, Query(ctx))
	if err != nil {
		return false, fmt.Errorf("read the variable %s: %w", path, err)
	}
	if v == nil {
		v = nomad.NewVariable(path) // its index is 0: to be made by nobody else meanwhile
	}
	before := maps.Clone(v.Items)
	change(v.Items)
	if maps.Equal(before, v.Items) {
		return false, nil
	}
	_, _, err = c.Nomad.Variables().CheckedUpdate(v, Write(ctx))
	if _, conflict := errors.AsType[nomad.ErrCASConflict](err); conflict {
		return false, fmt.Errorf("the variable %s was changed by another meanwhile: run this again", path)
	}
	if err != nil {
		return false, fmt.Errorf("write the variable %s: %w", path, err)
	}
	return true, nil
}
