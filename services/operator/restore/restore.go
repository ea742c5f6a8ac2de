// Package restore brings the shop's databases back to a point in time. The members' data is changed by
// patroni/image/restore.sh, which the job restore runs step by step; this package stops what uses the data before, and
// starts the shop on what was restored.
package restore

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/patroni/backup"
	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/database"
	"bookstore/services/operator/jobs"
	"bookstore/services/operator/provide"
	"bookstore/services/operator/sagas"
)

// job is the one that runs the steps.
const job = "restore"

// restoration is one run of To.
type restoration struct {
	c     *cluster.Cluster
	out   console.Console
	files jobs.Files
	to    string
	from  backup.Repository
}

// To brings the databases back to a time, 'YYYY-MM-DD HH:MM:SS', of UTC or with a zone, and the shop up on them. What was
// written since is gone from the shop; the members' data of before stays beside the new (pgdata.before) until the next
// restore. If the recovery fails, the shop comes up as it was. Sagas begun before wait until Release lets them call the
// payment provider again. One repository is enough: from S3, the volume of the other may be empty.
func To(ctx context.Context, c *cluster.Cluster, out console.Console, files jobs.Files, from backup.Repository, to string) error {
	r := restoration{c: c, out: out, files: files, to: to, from: from}
	out.Stagef("looking for a backup")
	if err := r.check(ctx); err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}

	out.Stagef("stopping what writes")
	if err := r.stop(ctx); err != nil {
		return fmt.Errorf("%w; the databases are as they were: 'go tool task up' starts the shop", err)
	}

	out.Stagef("recovering up to %s", to)
	system, err := r.recover(ctx)
	if err != nil {
		out.Stagef("starting the shop as it was")
		if not := files.DeployAll(ctx, c, out); not != nil {
			return fmt.Errorf("%w; the databases are as they were, but the shop did not start: %w; 'go tool task up' tries again", err, not)
		}
		return fmt.Errorf("%w; the databases are as they were", err)
	}

	if err := r.replace(ctx, system); err != nil {
		return fmt.Errorf("%w; run this again before anything starts the shop: sagas and caches are not yet prepared for the past", err)
	}

	out.Stagef("starting the shop")
	if err := files.DeployAll(ctx, c, out); err != nil {
		return fmt.Errorf("the databases are restored: %w; 'go tool task up' goes on", err)
	}
	if _, err := jobs.Start(ctx, c, "backup"); err != nil {
		return fmt.Errorf("the databases are restored: %w", err)
	}
	return jobs.Purge(ctx, c, job)
}

// check has the step check look for a backup that leads to the time.
func (r restoration) check(ctx context.Context) error {
	made, err := provide.Volumes(ctx, r.c, 0)
	if made > 0 {
		r.out.Sayf("%d volumes made", made)
	}
	if err == nil {
		_, err = r.step(ctx, "check", 1)
	}
	return err
}

// stop stops the services, has the archive take what they wrote last, and stops the members.
func (r restoration) stop(ctx context.Context) error {
	if err := jobs.Stop(ctx, r.c, r.out, "gateway", "coordinator", "books", "orders", "payments"); err != nil {
		return err
	}
	if err := r.closeArchive(ctx); err != nil {
		return err
	}
	return jobs.Stop(ctx, r.c, r.out, "patroni")
}

// closeArchive sees to it that the archive holds a commit later than any time asked for, where there is a leader: a
// recovery that finds none does not know that it has come to its end. Without both repositories no WAL counts as archived:
// then the recovery tells whether the one that it is from has enough.
func (r restoration) closeArchive(ctx context.Context) error {
	segment, err := r.switchSegment(ctx)
	if err != nil {
		r.out.Sayf("the archive ends with what it has: %s", err)
		return ctx.Err()
	}
	wait := console.Wait{For: "the archiving of " + segment, Limit: time.Minute, Hint: "'go tool task logs -- patroni' shows why"}
	err = r.out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		archived, err := database.Ask[bool](ctx, r.c, "postgres", "select coalesce(last_archived_wal >= $1, false) from pg_stat_archiver", segment)
		switch {
		case err != nil:
			return err.Error(), nil //nolint:nilerr // the leader may be another in a moment
		case !archived:
			return segment + " is not archived yet", nil
		}
		return "", nil
	})
	if err != nil {
		r.out.Sayf("the archive ends with what it has: %s", err)
	}
	return ctx.Err()
}

// switchSegment commits a transaction and has the leader begin another WAL file. It returns the name of the last one.
func (r restoration) switchSegment(ctx context.Context) (string, error) {
	if _, err := database.Ask[int64](ctx, r.c, "postgres", "select txid_current()"); err != nil {
		return "", err
	}
	return database.Ask[string](ctx, r.c, "postgres", "select pg_walfile_name(pg_switch_wal())")
}

// ready is what the step to says last, and recorded what it did, before that (patroni/image/choose_backup.py).
var (
	ready    = regexp.MustCompile(`system (\d+) is ready`)
	recorded = regexp.MustCompile(`record (\d+ [\d.]+ \d+)`)
)

// recover makes the recovered cluster beside the first member's data, and returns its system identifier.
func (r restoration) recover(ctx context.Context) (system string, err error) {
	said, err := r.step(ctx, "to", 1)
	if err != nil {
		return "", err
	}
	found := ready.FindStringSubmatch(said)
	if found == nil {
		return "", errors.New("the recovered cluster did not say what system it is, see above")
	}
	record := recorded.FindStringSubmatch(said)
	if record == nil {
		return "", errors.New("the recovered cluster did not say which timeline has ended, see above")
	}
	return found[1], remember(ctx, r.c, record[1])
}

// remembered is how many restores are kept in mind: far more than anyone makes in the days that backups are kept.
const remembered = 100

// remember adds a restore to those that the job reads: which backup leads to a moment depends on them. They are kept
// apart from the repositories, since none of those is sure to be there.
func remember(ctx context.Context, c *cluster.Cluster, record string) error {
	_, err := c.Change(ctx, job, func(items nomad.VariableItems) {
		all := slices.Collect(strings.Lines(items["restores"]))
		all = append(all[max(0, len(all)-remembered+1):], record+"\n")
		items["restores"] = strings.Join(all, "")
	})
	return err
}

// replace puts what was recovered in the place of the members' data and starts the members on it, with sagas held back
// and caches empty.
func (r restoration) replace(ctx context.Context, system string) error {
	if _, err := r.step(ctx, "swap", provide.Members); err != nil {
		return fmt.Errorf("a member's data could not be moved: %w", err)
	}
	if err := forgetLeader(ctx, r.c, system); err != nil {
		return err
	}
	r.out.Stagef("starting the cluster")
	if err := jobs.Purge(ctx, r.c, "migrate"); err != nil { // it has to run again
		return err
	}
	if err := r.files.Deploy(ctx, r.c, r.out, "patroni", "redis", "migrate"); err != nil {
		return err
	}
	if err := database.Do(ctx, r.c, sagas.Database, sagas.Hold); err != nil {
		return err
	}
	return emptyCache(ctx, r.c)
}

// step has restore.sh do one step on so many members' volumes, shows what it says, and returns that.
func (r restoration) step(ctx context.Context, name string, members int) (string, error) {
	if err := jobs.Purge(ctx, r.c, job); err != nil {
		return "", err
	}
	vars := map[string]string{"step": name, "count": strconv.Itoa(members), "repository": strconv.Itoa(int(r.from))}
	if name != "swap" {
		vars["time"] = r.to
	}
	if err := r.files.Submit(ctx, r.c, job, vars); err != nil {
		return "", err
	}
	all, err := r.follow(ctx, members)
	if err != nil {
		return "", err
	}
	var said strings.Builder
	for _, a := range all {
		said.WriteString(jobs.Said(ctx, r.c, r.out, a.ID, job))
	}
	if stateOf(all, members) != nomad.AllocClientStatusComplete {
		return "", errors.New("the restore failed, see above")
	}
	return said.String(), nil
}

// follow waits for the end of a step, for as long as it runs: how long a recovery takes is a matter of how much there is.
func (r restoration) follow(ctx context.Context, members int) (all []*nomad.AllocationListStub, err error) {
	const longest, patience = 7 * 24 * time.Hour, 2 * time.Minute
	ran := time.Now()
	wait := console.Wait{For: "the restore", Limit: longest, Every: time.Second}
	err = r.out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		now, err := r.c.Allocations(ctx, job)
		state := stateOf(now, members)
		if err != nil {
			state = err.Error() // a recovery of hours does not end because Nomad is away for a moment
		}
		switch state {
		case nomad.AllocClientStatusComplete, nomad.AllocClientStatusFailed:
			all = now
			return "", nil
		case nomad.AllocClientStatusRunning:
			ran = time.Now()
		}
		if time.Since(ran) >= patience {
			return "", fmt.Errorf("the job restore did not run for %.0f s: %s; 'nomad job status restore' shows why", patience.Seconds(), state)
		}
		return state, nil
	})
	return all, err
}

// stateOf is that of a step on so many members: failed where one failed, complete where all are.
func stateOf(all []*nomad.AllocationListStub, members int) string {
	count := map[string]int{}
	for _, a := range all {
		count[a.ClientStatus]++
	}
	switch {
	case count[nomad.AllocClientStatusFailed]+count[nomad.AllocClientStatusLost] > 0:
		return nomad.AllocClientStatusFailed
	case count[nomad.AllocClientStatusComplete] == members:
		return nomad.AllocClientStatusComplete
	case count[nomad.AllocClientStatusRunning] > 0:
		return nomad.AllocClientStatusRunning
	}
	return nomad.AllocClientStatusPending
}

// forgetLeader makes Consul forget who led and who was synchronous, but not the cluster's settings, and say whose data
// the cluster is of: members without data then wait for the one that has it.
func forgetLeader(ctx context.Context, c *cluster.Cluster, system string) error {
	const scope = "service/patroni/"
	keys, _, err := c.Consul.KV().Keys(scope, "", cluster.ConsulQuery(ctx))
	if err != nil {
		return fmt.Errorf("list what Consul knows of the members: %w", err)
	}
	for _, key := range keys {
		if strings.HasSuffix(key, "/config") {
			continue
		}
		if _, err := c.Consul.KV().Delete(key, cluster.ConsulWrite(ctx)); err != nil {
			return fmt.Errorf("remove Consul's key %s: %w", key, err)
		}
	}
	pair := &consul.KVPair{Key: scope + "initialize", Value: []byte(system)}
	if _, err := c.Consul.KV().Put(pair, cluster.ConsulWrite(ctx)); err != nil {
		return fmt.Errorf("write Consul's key %s: %w", pair.Key, err)
	}
	return nil
}

// emptyCache drops all that Redis has: books' versions have gone back, which caches otherwise never believe.
func emptyCache(ctx context.Context, c *cluster.Cluster) error {
	nodes, err := c.Running(ctx, "redis")
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if _, err := c.Exec(ctx, node.ID, "redis", "redis-care", "empty"); err != nil {
			return fmt.Errorf("empty Redis' node %s: %w", node.Name, err)
		}
	}
	return nil
}
