package fence_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"bookstore/patroni/fence"
)

// wait starts to wait for a member's death; what comes is let go when the test ends.
func wait(ctx context.Context, t *testing.T, volume string) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		held, err := fence.NewLock(volume).Wait(ctx)
		t.Cleanup(held.Release)
		done <- err
	}()
	return done
}

func TestAMemberIsDeadWhenNoneOfItsProcessesIsLeft(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	member := live(t, volume)
	dead := wait(t.Context(), t, volume)

	stayedAway(t, "dead while both live", dead)
	kill(member.first)
	stayedAway(t, "dead while PostgreSQL lives", dead)
	stop(t, member.postgres)
	stayedAway(t, "dead while PostgreSQL is stopped", dead)
	kill(member.postgres)
	if err := came(t, "the member's death", dead); err != nil {
		t.Error(err)
	}
}

func TestPostgreSQLAloneIsNoDeath(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	member := live(t, volume)
	dead := wait(t.Context(), t, volume)
	kill(member.postgres)
	stayedAway(t, "dead while Patroni lives", dead)
	kill(member.first)
	if err := came(t, "the member's death", dead); err != nil {
		t.Error(err)
	}
}

// A volume that was emptied and filled again has other files under the same names.
func TestALockThatWasReplacedIsNotTheMembers(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	before := live(t, volume)
	dead := wait(t.Context(), t, volume)
	awaited(t, volume)
	if err := os.Remove(filepath.Join(volume, ".lock")); err != nil {
		t.Fatal(err)
	}
	after := live(t, volume)
	kill(before.first)
	kill(before.postgres)
	stayedAway(t, "dead by a lock that is no more", dead)
	kill(after.first)
	kill(after.postgres)
	if err := came(t, "the member's death", dead); err != nil {
		t.Error(err)
	}
}

func TestTheNextLifeBeginsWithItsLock(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	lives := make(chan error, 1)
	go func() { lives <- fence.NewLock(volume).AwaitLife(t.Context()) }()
	stayedAway(t, "life without a lock", lives)
	live(t, volume)
	if err := came(t, "the next life", lives); err != nil {
		t.Error(err)
	}
}

func TestWhoStopsWaitingHoldsNothing(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	member := live(t, volume)
	ctx, cancel := context.WithCancel(t.Context())
	dead := wait(ctx, t, volume)
	awaited(t, volume)
	cancel()
	if err := came(t, "the end of the wait", dead); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	kill(member.first)
	kill(member.postgres)
	if err := came(t, "the lock for the next who waits", wait(t.Context(), t, volume)); err != nil {
		t.Error(err)
	}
}
