//go:build drill

package drills

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

const (
	// silentFor is how long the leader's host stays away, unless SILENT_FOR says otherwise: long enough
	// that what only keepalives and TCP's own repeats end would still wait.
	silentFor = 90 * time.Second
	// settledWithin is how long a transaction may be unfinished, whatever vanished.
	settledWithin = 30 * time.Second
)

// silenceLeader has the leader's host vanish without a packet and stay away. While it is away, no transaction
// may be unfinished for longer than settledWithin.
func silenceLeader(t *testing.T, s *scene) {
	away := silentFor
	if text := os.Getenv("SILENT_FOR"); text != "" {
		var err error
		if away, err = time.ParseDuration(text); err != nil || away <= settledWithin {
			t.Fatalf("SILENT_FOR=%q: a duration of more than %s", text, settledWithin)
		}
	}
	began := time.Now()
	heal := cutOff(t, s.leader)
	rest(t, settledWithin)
	for time.Since(began) < away {
		eventually(t, 10*time.Second, "what is unfinished is young while the leader's host is away", func(ctx context.Context) error {
			old, err := s.old(ctx)
			if err == nil && old > 0 {
				err = fmt.Errorf("%d transactions are unfinished for more than %s", old, settledWithin)
			}
			return err
		})
		rest(t, time.Second)
	}
	heal()
	s.load.loyal.haunt(t, s)
}

// old counts transactions that are unfinished for too long, by the coordinators' records and by PostgreSQL.
func (s *scene) old(ctx context.Context) (int, error) {
	attempts, err := s.number(ctx, "coordinatordb", `select count(*) from transactions
		where state in ('preparing', 'committing') and created_at < now() - $1::interval`, settledWithin)
	if err != nil {
		return 0, err
	}
	prepared, err := s.number(ctx, "postgres", "select count(*) from pg_prepared_xacts where prepared < now() - $1::interval", settledWithin)
	return attempts + prepared, err
}
