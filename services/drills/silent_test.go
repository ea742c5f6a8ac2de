//go:build drill

package drills

import (
	"context"
	"os"
	"testing"
	"time"

	"bookstore/services/shoptest"
)

const (
	// silentFor is how long the leader's host stays away, unless SILENT_FOR says otherwise: long enough
	// that what only keepalives and TCP's own repeats end would still wait.
	silentFor = 90 * time.Second
	// settledWithin is how long a transaction may be unfinished, whatever vanished.
	settledWithin = 30 * time.Second
)

// away is how long the leader's host is to be silent.
func away(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("SILENT_FOR")
	if text == "" {
		return silentFor
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= settledWithin {
		t.Fatalf("SILENT_FOR=%q: a duration of more than %s", text, settledWithin)
	}
	return d
}

// silenceLeader has the leader's host vanish without a packet and stay away. While it is away, no transaction
// may be unfinished for longer than settledWithin.
func silenceLeader(t *testing.T, s *scene) {
	silent, began := away(t), time.Now()
	heal := cutOff(t, s.leader)
	shoptest.Rest(t.Context(), settledWithin)
	for time.Since(began) < silent {
		var old int
		shoptest.Eventually(t, 10*time.Second, "the new leader tells what is unfinished", func(ctx context.Context) (err error) {
			old, err = s.old(ctx)
			return err
		})
		if old > 0 {
			t.Fatalf("%d transactions are unfinished for more than %s, %s after the leader's host vanished",
				old, settledWithin, time.Since(began).Round(time.Second))
		}
		shoptest.Rest(t.Context(), time.Second)
	}
	heal()
	s.load.loyal.haunt(t, s)
}

// old counts transactions that are unfinished for too long, by the coordinators' records and by PostgreSQL.
func (s *scene) old(ctx context.Context) (int, error) {
	attempts, err := s.number(ctx, "coordinatordb", `select count(*) from transactions
		where finished_at is null and created_at < now() - $1::interval`, settledWithin)
	if err != nil {
		return 0, err
	}
	prepared, err := s.number(ctx, "postgres", "select count(*) from pg_prepared_xacts where prepared < now() - $1::interval", settledWithin)
	return attempts + prepared, err
}
