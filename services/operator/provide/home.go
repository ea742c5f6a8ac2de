package provide

import (
	"context"
	"errors"
	"fmt"
	"slices"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
)

// The metadata of the node whose warehouse is made, as long as it is there (jobs/warehouse.nomad.hcl): versions on one host are
// made from what changed, and keep the history of books.
const warehouseMeta, warehouseHome = "warehouse", "home"

// WarehouseHome chooses the host of the warehouse, unless there is one.
func WarehouseHome(ctx context.Context, c *cluster.Cluster) error {
	stubs, _, err := c.Nomad.Nodes().List(cluster.Query(ctx))
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	for _, stub := range stubs {
		node, _, err := c.Nomad.Nodes().Info(stub.ID, cluster.Query(ctx))
		if err != nil {
			return fmt.Errorf("read the node %s: %w", stub.Name, err)
		}
		if node.Meta[warehouseMeta] == warehouseHome {
			return nil // down as it may be: it will be back, or its node is purged
		}
	}
	id, err := oldest(ctx, c, "warehouse")
	if err != nil {
		return err
	}
	home := warehouseHome
	if _, err := c.Nomad.Nodes().Meta().Apply(&nomad.NodeMetaApplyRequest{NodeID: id, Meta: map[string]*string{warehouseMeta: &home}}, cluster.Query(ctx)); err != nil {
		return fmt.Errorf("mark the warehouse's host: %w", err)
	}
	return nil
}

// oldest is the node that takes work and had its volume of that name first.
func oldest(ctx context.Context, c *cluster.Cluster, name string) (node string, err error) {
	volumes, _, err := c.Nomad.HostVolumes().List(nil, cluster.Query(ctx))
	if err != nil {
		return "", fmt.Errorf("list the volumes: %w", err)
	}
	hosts, err := c.Hosts(ctx)
	if err != nil {
		return "", err
	}
	ready := map[string]bool{}
	for _, host := range hosts {
		ready[host.ID] = true
	}
	var first uint64
	for _, v := range volumes {
		if v.Name == name && ready[v.NodeID] && (node == "" || v.CreateIndex < first) {
			node, first = v.NodeID, v.CreateIndex
		}
	}
	if node == "" {
		return "", fmt.Errorf("no host that takes work has a volume %s", name)
	}
	return node, nil
}

// Warehouse is the folder of the newest version, and the host that it is on.
func Warehouse(ctx context.Context, c *cluster.Cluster) (folder, host string, err error) {
	made, err := newestVersion(ctx, c)
	if err != nil {
		return "", "", err
	}
	volumes, _, err := c.Nomad.HostVolumes().List(nil, cluster.Query(ctx))
	if err != nil {
		return "", "", fmt.Errorf("list the volumes: %w", err)
	}
	for _, v := range volumes {
		if v.Name != "warehouse" || made != nil && v.NodeID != made.NodeID {
			continue
		}
		whole, _, err := c.Nomad.HostVolumes().Get(v.ID, cluster.Query(ctx))
		if err != nil {
			return "", "", fmt.Errorf("read the volume warehouse: %w", err)
		}
		node, _, err := c.Nomad.Nodes().Info(v.NodeID, cluster.Query(ctx))
		if err != nil {
			return "", "", fmt.Errorf("read the node of the warehouse: %w", err)
		}
		return whole.HostPath, node.Name, nil
	}
	return "", "", errors.New("there is no volume warehouse: 'go tool task up' makes it")
}

// newestVersion is the last run of the warehouse that published a version, of those that Nomad remembers; nil if there is none.
func newestVersion(ctx context.Context, c *cluster.Cluster) (*nomad.AllocationListStub, error) {
	runs, err := c.Runs(ctx, "warehouse")
	if err != nil {
		return nil, err
	}
	for _, run := range slices.Backward(runs) {
		all, err := c.Allocations(ctx, run.ID)
		if err != nil {
			return nil, err
		}
		for _, a := range all {
			if a.ClientStatus == nomad.AllocClientStatusComplete {
				return a, nil
			}
		}
	}
	return nil, nil //nolint:nilnil // there need not be one
}
