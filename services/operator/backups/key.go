// Package backups gives the backups of the databases a new key.
package backups

import (
	"context"
	"fmt"
	"strconv"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/jobs"
	"bookstore/services/operator/provide"
)

// Rotate makes a new key. pgBackRest cannot change the one of a repository, so both get a new folder with it, and a full
// backup in that; the job that makes it proves it and then removes the old folders. From then on no moment of before can be
// restored. Interrupted, it is simply run again.
func Rotate(ctx context.Context, c *cluster.Cluster, out console.Console) error {
	out.Stagef("a new key for the backups")
	folder, err := renew(ctx, c)
	if err != nil {
		return err
	}
	if err := awaitMembers(ctx, c, out, folder); err != nil {
		return err
	}
	out.Stagef("a full backup in %s of each repository", folder)
	run, err := jobs.Start(ctx, c, "backup")
	if err != nil {
		return err
	}
	return jobs.Finish(ctx, c, out, run, 4*time.Hour, "backup", "verify")
}

// renew stores a new key for all jobs that need it, and returns the folder of the repositories that it is for.
func renew(ctx context.Context, c *cluster.Cluster) (folder string, err error) {
	old, err := c.Item(ctx, "patroni", "backup_repository")
	if err != nil {
		return "", err
	}
	number, err := strconv.Atoi(old)
	if err != nil {
		return "", fmt.Errorf("the number of the backups' repository: %w", err)
	}
	next := strconv.Itoa(number + 1)
	if _, err := c.Change(ctx, "patroni", func(items nomad.VariableItems) {
		items["backup_repository"], items["backup_key"] = next, provide.Password()
	}); err != nil {
		return "", err
	}
	_, err = provide.Secrets(ctx, c) // the other jobs' follow
	return "repo-" + next, err
}

// awaitMembers waits until Nomad has given every member the new key: the one that leads makes the backup.
func awaitMembers(ctx context.Context, c *cluster.Cluster, out console.Console, folder string) error {
	wait := console.Wait{For: "the new key at the members", Limit: 2 * time.Minute, Hint: "'go tool task logs -- patroni' shows why"}
	return out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		members, err := c.Running(ctx, "patroni")
		if err != nil {
			return "", err
		}
		for _, m := range members {
			if _, err := c.Exec(ctx, m.ID, "patroni", "grep", "-q", "/"+folder+"$", "/secrets/pgbackrest.conf"); err != nil {
				return m.Name + " has the old key", nil //nolint:nilerr // that is what is waited for
			}
		}
		return "", nil
	})
}
