package cluster_test

import (
	"errors"
	"maps"
	"testing"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/operatortest"
)

func TestCluster(t *testing.T) {
	t.Parallel()
	c := operatortest.Start(t)

	t.Run("without a node that takes work the shop is down", func(t *testing.T) {
		t.Parallel()
		if err := c.Ready(t.Context()); !errors.Is(err, cluster.ErrDown) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a job that is not there", func(t *testing.T) {
		t.Parallel()
		if _, err := c.Job(t.Context(), "nix"); !errors.Is(err, cluster.ErrNoJob) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a variable is made, changed and left", func(t *testing.T) {
		t.Parallel()
		for _, step := range []struct {
			add     nomad.VariableItems
			want    nomad.VariableItems
			changed bool
		}{
			{nil, nil, false},
			{nomad.VariableItems{"a": "1"}, nomad.VariableItems{"a": "1"}, true},
			{nomad.VariableItems{"a": "1"}, nomad.VariableItems{"a": "1"}, false},
			{nomad.VariableItems{"b": "2"}, nomad.VariableItems{"a": "1", "b": "2"}, true},
		} {
			changed, err := c.Change(t.Context(), "job", func(items nomad.VariableItems) { maps.Copy(items, step.add) })
			if err != nil || changed != step.changed {
				t.Errorf("adding %v: changed %t, %v", step.add, changed, err)
			}
			if now, err := c.Items(t.Context(), "job"); err != nil || !maps.Equal(now, step.want) {
				t.Errorf("after adding %v: %v, %v", step.add, now, err)
			}
		}
	})
	t.Run("a variable that another changes meanwhile stays as the other made it", func(t *testing.T) {
		t.Parallel()
		put := func(value string) func(nomad.VariableItems) {
			return func(items nomad.VariableItems) { items["value"] = value }
		}
		_, err := c.Change(t.Context(), "race", func(items nomad.VariableItems) {
			if _, err := c.Change(t.Context(), "race", put("theirs")); err != nil {
				t.Error(err)
			}
			put("ours")(items)
		})
		value, readErr := c.Item(t.Context(), "race", "value")
		if err == nil || readErr != nil || value != "theirs" {
			t.Errorf("%v; the value is %q, %v", err, value, readErr)
		}
	})
	t.Run("a service without checks that pass is counted", func(t *testing.T) {
		t.Parallel()
		all, err := c.Healths(t.Context())
		if err != nil || len(all) != 0 {
			t.Errorf("%v, %v", all, err)
		}
	})
}
