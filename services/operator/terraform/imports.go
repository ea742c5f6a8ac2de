// Package terraform says what Terraform (the folder terraform) has to be told about a shop that runs: which things it is to take
// over as they are. All else it makes again, which changes nothing that is there already.
package terraform

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
)

// Import is a thing that is there: where Terraform keeps it, and what it is known by.
type Import struct{ To, ID string }

// String is the import block.
func (i Import) String() string {
	return fmt.Sprintf("import {\n  to = %s\n  id = %q\n}\n", i.To, i.ID)
}

// Imports are the volumes of a shop, and Consul's policies and roles of the tasks that this checkout at root knows: a second one of
// their name cannot be made, or would be another. below is the module that has the shop, as module.shop.
func Imports(ctx context.Context, c *cluster.Cluster, root, below string) (all []Import, err error) {
	files, err := filepath.Glob(filepath.Join(root, "jobs/acl/consul/*.hcl"))
	if err != nil {
		return nil, err
	}
	var tasks []string // as the names of their policies and roles (provide.Access)
	for _, file := range files {
		tasks = append(tasks, "nomad-"+strings.TrimSuffix(filepath.Base(file), ".hcl"))
	}
	of := [3]func() (map[string]string, error){
		func() (map[string]string, error) { return volumes(ctx, c) },
		func() (map[string]string, error) { return policies(ctx, c, tasks) },
		func() (map[string]string, error) { return roles(ctx, c, tasks) },
	}
	for _, list := range of {
		found, err := list()
		if err != nil {
			return nil, err
		}
		for _, to := range slices.Sorted(maps.Keys(found)) {
			all = append(all, Import{To: below + "." + to, ID: found[to]})
		}
	}
	return all, nil
}

// volumes are those of every job, by their place in the module volumes.
func volumes(ctx context.Context, c *cluster.Cluster) (map[string]string, error) {
	all, _, err := c.Nomad.HostVolumes().List(nil, cluster.Query(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the volumes: %w", err)
	}
	nodes, _, err := c.Nomad.Nodes().List(cluster.Query(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	return places(all, nodes), nil
}

func places(volumes []*nomad.HostVolumeStub, nodes []*nomad.NodeListStub) map[string]string {
	names := map[string]string{}
	for _, node := range nodes {
		names[node.ID] = node.Name
	}
	found := map[string]string{}
	for _, v := range volumes {
		key := v.Name
		if v.Name == "backup" { // one on each host
			key += "@" + names[v.NodeID]
		}
		found[fmt.Sprintf("module.volumes.nomad_dynamic_host_volume.this[%q]", key)] = v.ID + "@" + v.Namespace
	}
	return found
}

func policies(ctx context.Context, c *cluster.Cluster, tasks []string) (map[string]string, error) {
	all, _, err := c.Consul.ACL().PolicyList(cluster.ConsulQuery(ctx))
	if err != nil {
		return nil, fmt.Errorf("list Consul's policies: %w", err)
	}
	found := map[string]string{}
	for _, p := range all {
		if slices.Contains(tasks, p.Name) {
			found[fmt.Sprintf("module.access.consul_acl_policy.task[%q]", p.Name)] = p.ID
		}
	}
	return found, nil
}

func roles(ctx context.Context, c *cluster.Cluster, tasks []string) (map[string]string, error) {
	all, _, err := c.Consul.ACL().RoleList(cluster.ConsulQuery(ctx))
	if err != nil {
		return nil, fmt.Errorf("list Consul's roles: %w", err)
	}
	found := map[string]string{}
	for _, r := range all {
		if slices.Contains(tasks, r.Name) {
			found[fmt.Sprintf("module.access.consul_acl_role.task[%q]", r.Name)] = r.ID
		}
	}
	return found, nil
}
