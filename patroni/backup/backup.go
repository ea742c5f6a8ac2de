// Package backup has the leader of the cluster back itself up with pgBackRest,
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
)

// Exec runs a command where the leader runs and returns what it said. exit is
// what it ended with; err is that it could not be run to its end.
type Exec func(ctx context.Context, command ...string) (stdout, stderr string, exit int, err error)

// Stanza is pgBackRest's name for the cluster.
const Stanza = "shop"

// Run makes the backup that is due: a full one where there is none of this
// timeline, or the last is older than fullEvery, else what has changed since. pgBackRest waits until
// the WAL that it needs is in the archive, and lets go of what is past keeping.
func Run(ctx context.Context, exec Exec, log *slog.Logger, fullEvery time.Duration, now time.Time) error {
	leader := pgbackrest{exec}
	// The stanza is made once. Where the cluster is another one than before (all its data was
	// lost), it is brought up to the new one; what there is of the old one stays.
	if _, err := leader.run(ctx, "stanza-create"); err != nil {
		if _, again := leader.run(ctx, "stanza-upgrade"); again != nil {
			return errors.Join(err, again)
		}
	}
	info, err := leader.run(ctx, "info", "--output=json")
	if err != nil {
		return err
	}
	kind, err := due([]byte(info), fullEvery, now)
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := leader.run(ctx, "--type="+kind, "backup"); err != nil {
		return err
	}
	log.InfoContext(ctx, "backed up", "type", kind, "seconds", time.Since(began).Seconds())
	return nil
}

// pgbackrest is the program, where the leader runs.
type pgbackrest struct{ exec Exec }

func (p pgbackrest) run(ctx context.Context, args ...string) (string, error) {
	command := append([]string{"pgbackrest", "--stanza=" + Stanza}, args...)
	stdout, stderr, exit, err := p.exec(ctx, command...)
	if err == nil && exit != 0 {
		err = fmt.Errorf("exit code %d: %s", exit, strings.TrimSpace(stderr))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(command, " "), err)
	}
	return stdout, nil
}

// due reads `pgbackrest info` and tells which type of backup is next. A new
// timeline begins with a full one: a restore may have gone back behind the last,
// and a leader that died may have left a gap in the archive.
func due(info []byte, fullEvery time.Duration, now time.Time) (string, error) {
	var stanzas []struct {
		Backup []struct {
			Type      string
			Timestamp struct{ Stop int64 }
			Archive   struct{ Stop string } // a WAL file's name: eight digits of timeline first
		}
		Archive []struct{ Max string } // of each cluster that the stanza was of, the last is today's
	}
	if err := json.NewDecoder(bytes.NewReader(info)).Decode(&stanzas); err != nil {
		return "", fmt.Errorf("read what pgbackrest knows: %w", err)
	}
	for _, s := range stanzas {
		if len(s.Archive) == 0 {
			continue
		}
		timeline := timelineOf(s.Archive[len(s.Archive)-1].Max)
		for _, b := range s.Backup {
			if b.Type == "full" && timelineOf(b.Archive.Stop) == timeline && now.Sub(time.Unix(b.Timestamp.Stop, 0)) < fullEvery {
				return "incr", nil
			}
		}
	}
	return "full", nil
}

func timelineOf(walFile string) string { return walFile[:min(8, len(walFile))] }
