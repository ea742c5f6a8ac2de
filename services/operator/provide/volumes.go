// Package provide makes what the jobs need on the cluster before they run: volumes, passwords and tokens, the mesh's
// configuration. What is there is left as it is.
package provide

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/platform/wait"
)

// The users that own volumes, as the images that write to them have them.
const (
	patroniUser   = 10001 // backups are written by the members' user
	redisUser     = 10002
	warehouseUser = 10003
	s3User        = 10005
)

// Members is how many members the database has (jobs/patroni.nomad.hcl).
const Members = 5

// redisNodes is how many nodes Redis has at first (jobs/redis.nomad.hcl).
const redisNodes = 6

// Volumes makes the volumes that are missing, and returns how many it made. Members of the database and nodes of Redis
// have one each, which ties them to a host; what runs on any host has one on each. Redis has as many nodes as redis, or as it
// was given last if that is 0.
func Volumes(ctx context.Context, c *cluster.Cluster, redis int) (made int, err error) {
	hosts, err := c.Hosts(ctx)
	if err != nil {
		return 0, err
	}
	if len(hosts) == 0 {
		return 0, cluster.ErrDown
	}
	if redis == 0 {
		if redis, err = RedisNodes(ctx, c); err != nil {
			return 0, err
		}
	}
	existing, _, err := c.Nomad.HostVolumes().List(nil, cluster.Query(ctx))
	if err != nil {
		return 0, fmt.Errorf("list the volumes: %w", err)
	}
	there := make([]volume, 0, len(existing))
	for _, v := range existing {
		there = append(there, volume{name: v.Name, node: v.NodeID})
	}
	archive := os.Getenv("BOOKSTORE_ARCHIVE")
	for _, v := range missing(hosts, there, redis) {
		add := create
		if v.name == "backup" && archive != "" {
			add = register(archive)
		} else if v.name == "backup" && len(hosts) > 1 {
			return made, errors.New("BOOKSTORE_ARCHIVE is to name a folder that all machines share, for backups and WAL: with one on each a failover would tear the archive apart (vagrant/README.md)")
		}
		if err := add(ctx, c, v); err != nil {
			return made, err
		}
		made++
	}
	return made, WarehouseHome(ctx, c)
}

// Folder is where the volume of that name is on its machine.
func Folder(ctx context.Context, c *cluster.Cluster, name string) (string, error) {
	all, _, err := c.Nomad.HostVolumes().List(nil, cluster.Query(ctx))
	if err != nil {
		return "", fmt.Errorf("list the volumes: %w", err)
	}
	at := slices.IndexFunc(all, func(v *nomad.HostVolumeStub) bool { return v.Name == name })
	if at < 0 {
		return "", fmt.Errorf("there is no volume %s: 'go tool task up' makes it", name)
	}
	v, _, err := c.Nomad.HostVolumes().Get(all[at].ID, cluster.Query(ctx))
	if err != nil {
		return "", fmt.Errorf("read the volume %s: %w", name, err)
	}
	return v.HostPath, nil
}

// PerInstance is the name of the volume of a job's instance i.
func PerInstance(job string, i int) string { return fmt.Sprintf("%s[%d]", job, i) }

// capabilities are not "single-writer": with a volume for each instance, Nomad would place once and refuse every later plan.
var capabilities = []*nomad.HostVolumeCapability{{
	AccessMode:     nomad.HostVolumeAccessModeSingleNodeMultiWriter,
	AttachmentMode: nomad.HostVolumeAttachmentModeFilesystem,
}}

// register has Nomad know a folder of the machines', which is there, as a volume of one of them.
func register(folder string) func(context.Context, *cluster.Cluster, volume) error {
	return func(ctx context.Context, c *cluster.Cluster, v volume) error {
		if err := os.Chown(folder, v.user, v.user); err != nil { //nolint:gosec // the operator names it
			return fmt.Errorf("BOOKSTORE_ARCHIVE: %w", err)
		}
		if err := os.Chmod(folder, 0o700); err != nil { //nolint:gosec // a folder
			return fmt.Errorf("BOOKSTORE_ARCHIVE: %w", err)
		}
		_, _, err := c.Nomad.HostVolumes().Register(&nomad.HostVolumeRegisterRequest{Volume: &nomad.HostVolume{
			Name: v.name, NodeID: v.node, HostPath: folder, RequestedCapabilities: capabilities,
		}}, cluster.Write(ctx))
		if err != nil {
			return fmt.Errorf("the volume %s could not be registered: %w", v.name, err)
		}
		return nil
	}
}

func create(ctx context.Context, c *cluster.Cluster, v volume) error {
	user := strconv.Itoa(v.user)
	request := &nomad.HostVolumeCreateRequest{Volume: &nomad.HostVolume{
		Name:                  v.name,
		PluginID:              "mkdir",
		NodeID:                v.node,
		Parameters:            map[string]string{"mode": "0700", "uid": user, "gid": user},
		RequestedCapabilities: capabilities,
	}}
	// Servers that have just started take a node for ready that has not called them yet.
	connected, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		_, _, err := c.Nomad.HostVolumes().Create(request, cluster.Write(ctx))
		if err != nil && strings.Contains(err.Error(), "No path to node") && wait.For(connected, time.Second) {
			continue
		}
		if err != nil {
			return fmt.Errorf("the volume %s could not be made: %w; 'nomad volume status -type host' shows what is there", v.name, err)
		}
		return nil
	}
}

// Remove removes a volume with what is in it, if it is there, as soon as nothing uses it any more.
func Remove(ctx context.Context, c *cluster.Cluster, out console.Console, name string) error {
	all, _, err := c.Nomad.HostVolumes().List(nil, cluster.Query(ctx))
	if err != nil {
		return fmt.Errorf("list the volumes: %w", err)
	}
	for _, v := range all {
		if v.Name != name {
			continue
		}
		if err := RemoveVolume(ctx, c, out, v, false); err != nil {
			return err
		}
	}
	return nil
}

// RemoveVolume removes a volume as soon as nothing uses it any more, within a minute. What is in one that Nomad made is removed too,
// but where the machine is lost: then Nomad just forgets it.
func RemoveVolume(ctx context.Context, c *cluster.Cluster, out console.Console, v *nomad.HostVolumeStub, lost bool) error {
	removal := console.Wait{For: "the removal of the volume " + v.Name, Limit: time.Minute, Hint: "'nomad volume delete -type host " + v.ID + "' tries again"}
	return out.Wait(ctx, removal, func(ctx context.Context) (string, error) {
		if _, _, err := c.Nomad.HostVolumes().Delete(&nomad.HostVolumeDeleteRequest{ID: v.ID, Force: lost}, cluster.Write(ctx)); err != nil && !strings.Contains(err.Error(), "no such volume") {
			return err.Error(), nil
		}
		return "", nil
	})
}

// Home gives instance i of a job a volume on a node, which ties it to that: a member of the database, or a node of Redis.
func Home(ctx context.Context, c *cluster.Cluster, job string, i int, node string) error {
	user, ok := map[string]int{"patroni": patroniUser, "redis": redisUser}[job]
	if !ok {
		return fmt.Errorf("the job %s has no volume for each instance", job)
	}
	return create(ctx, c, volume{name: PerInstance(job, i), node: node, user: user})
}

// RedisCount is Consul's key that says how many nodes Redis is to have; the nodes read it too.
const RedisCount = "redis/count"

// RedisNodes is how many nodes Redis was given last.
func RedisNodes(ctx context.Context, c *cluster.Cluster) (int, error) {
	pair, _, err := c.Consul.KV().Get(RedisCount, cluster.ConsulQuery(ctx))
	if err != nil {
		return 0, fmt.Errorf("read how many nodes Redis has: %w", err)
	}
	if pair == nil {
		return redisNodes, nil
	}
	n, err := strconv.Atoi(string(pair.Value))
	if err != nil {
		return 0, fmt.Errorf("Consul's key %s: %w", RedisCount, err) //nolint:staticcheck // a name
	}
	return n, nil
}
