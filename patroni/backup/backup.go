// Package backup has the leader of the cluster back itself up with pgBackRest, into two repositories,
// and says what kind of backup is due. Restoring is restore.sh's part, in the
// members' image.
package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"bookstore/services/platform/wait"
)

// Exec runs a command where the leader runs and returns what it said. exit is
// what it ended with; err is that it could not be run to its end.
type Exec func(ctx context.Context, command ...string) (stdout, stderr string, exit int, err error)

// Stanza is pgBackRest's name for the cluster.
const Stanza = "shop"

// Repository is pgBackRest's number of a repository (pgbackrest.conf).
type Repository int

// Volume is on the volume backup; S3 in a bucket.
const (
	Volume Repository = 1
	S3     Repository = 2
)

// Run makes the backup that is due in a repository: a full one where there is none of this
// timeline, or the last is older than fullEvery, else what has changed since. pgBackRest waits until
// the WAL that it needs is in the archive, and lets go of what is past keeping. While another
// pgBackRest is at work on the leader, it waits, for as long as ctx does.
func Run(ctx context.Context, exec Exec, log *slog.Logger, in Repository, fullEvery time.Duration, now time.Time) error {
	leader := pgbackrest{exec: exec, in: in}
	if err := leader.prepare(ctx, log); err != nil {
		return err
	}
	status, err := leader.status(ctx)
	if err != nil {
		return err
	}
	kind := status.due(fullEvery, now)
	began := time.Now()
	if _, err := leader.run(ctx, "--type="+kind, "backup"); err != nil {
		return err
	}
	log.InfoContext(ctx, "backed up", "repository", int(in), "type", kind, "seconds", time.Since(began).Seconds())
	return nil
}

// pgbackrest is the program, where the leader runs.
type pgbackrest struct {
	exec Exec
	in   Repository
}

// prepare makes the stanza, in all repositories, where it is not there. Where the cluster is another one than before
// (all its data was lost), it is brought up to the new one; what there is of the old one stays. That another repository
// is away is no reason not to use this one.
func (p pgbackrest) prepare(ctx context.Context, log *slog.Logger) error {
	_, err := p.all(ctx, "stanza-create")
	if err == nil {
		return nil
	}
	if p.in == S3 {
		// There may be no bucket yet. One that belongs to somebody else's S3 is not ours to make: that is refused.
		if _, made := p.run(ctx, "repo-create"); made == nil {
			if _, err = p.all(ctx, "stanza-create"); err == nil {
				return nil
			}
		}
	}
	if _, again := p.all(ctx, "stanza-upgrade"); again != nil {
		err = errors.Join(err, again)
	} else {
		return nil
	}
	if status, not := p.status(ctx); not != nil || !status.usable() {
		return err
	}
	log.WarnContext(ctx, "another repository is not ready", "error", err)
	return nil
}

// status asks the repository what it has.
func (p pgbackrest) status(ctx context.Context) (status, error) {
	info, err := p.run(ctx, "info", "--output=json")
	if err != nil {
		return status{}, err
	}
	return read([]byte(info))
}

// run runs a command about the repository, all one that knows no single one.
func (p pgbackrest) run(ctx context.Context, args ...string) (string, error) {
	return p.all(ctx, append([]string{fmt.Sprintf("--repo=%d", p.in)}, args...)...)
}

// How long a command waits for another that is at work, and what pgBackRest ends with then.
const (
	lockWait = 5 * time.Second
	locked   = 50
)

func (p pgbackrest) all(ctx context.Context, args ...string) (string, error) {
	command := append([]string{"pgbackrest", "--stanza=" + Stanza}, args...)
	for {
		stdout, stderr, exit, err := p.exec(ctx, command...)
		if err == nil && exit != 0 {
			err = fmt.Errorf("exit code %d: %s", exit, strings.TrimSpace(stderr))
		}
		if err == nil {
			return stdout, nil
		}
		err = fmt.Errorf("%s: %w", strings.Join(command, " "), err)
		if exit != locked {
			return "", err
		}
		if !wait.For(ctx, lockWait) {
			return "", errors.Join(ctx.Err(), err)
		}
	}
}

// status is what `pgbackrest info` says of the stanza in a repository.
type status struct {
	Repo   []struct{ Status struct{ Code int } }
	Backup []struct {
		Type      string
		Timestamp struct{ Stop int64 }
		Archive   struct{ Stop string } // a WAL file's name: eight digits of timeline first
	}
	Archive []struct{ Max string } // of each cluster that the stanza was of, the last is today's
}

func read(info []byte) (status, error) {
	var stanzas []status
	if err := json.NewDecoder(bytes.NewReader(info)).Decode(&stanzas); err != nil {
		return status{}, fmt.Errorf("read what pgbackrest knows: %w", err)
	}
	if len(stanzas) == 0 {
		return status{}, nil
	}
	return stanzas[0], nil // no other was asked for
}

// usable tells whether the stanza is there: pgBackRest's codes are 0 for one with backups, 2 for one without.
func (s status) usable() bool {
	return len(s.Repo) == 1 && (s.Repo[0].Status.Code == 0 || s.Repo[0].Status.Code == 2)
}

// due tells which type of backup is next. A new
// timeline begins with a full one: a restore may have gone back behind the last,
// and a leader that died may have left a gap in the archive.
func (s status) due(fullEvery time.Duration, now time.Time) string {
	if len(s.Archive) == 0 {
		return "full"
	}
	timeline := timelineOf(s.Archive[len(s.Archive)-1].Max)
	for _, b := range s.Backup {
		if b.Type == "full" && timelineOf(b.Archive.Stop) == timeline && now.Sub(time.Unix(b.Timestamp.Stop, 0)) < fullEvery {
			return "incr"
		}
	}
	return "full"
}

func timelineOf(walFile string) string { return walFile[:min(8, len(walFile))] }
