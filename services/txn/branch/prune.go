package branch

import (
	"time"

	"bookstore/services/platform/clean"
)

// MarkersKept is how long the marker of a committed branch is kept. It tells a
// commit that is asked for again from a branch that is lost, so it outlives
// whatever may ask: coordinators that were down, and those that were restored
// from a backup, none of which may be older. And it goes before the
// coordinator's row, whose key could otherwise make the same gid once more
// (coordinatorpg/prune.go has the whole order).
const MarkersKept = 30 * 24 * time.Hour

// tombstonesKept is how long after its deadline an aborted transaction is
// remembered: no prepare of it can be under way any more, and one that came
// still would be refused as late.
const tombstonesKept = time.Hour

// Cleaners delete markers and tombstones that nobody can need any more. Both
// find them by the index on (state, created_at). A tombstone counts from its
// deadline, which is never long after it was made.
func Cleaners() []clean.Job {
	return []clean.Job{
		{
			Name: "branch_markers", Keep: MarkersKept,
			Delete: `
delete from branch_markers where ctid = any (array(
	select ctid from branch_markers
	where state = 'prepared' and created_at < now() - $1::interval
	order by created_at limit $2 for update skip locked))`,
			Oldest: `select created_at from branch_markers where state = 'prepared' order by created_at limit 1`,
		},
		{
			Name: "branch_tombstones", Keep: tombstonesKept,
			Delete: `
delete from branch_markers where ctid = any (array(
	select ctid from branch_markers
	where state = 'aborted' and created_at < now() - $1::interval and deadline < now() - $1::interval
	order by created_at limit $2 for update skip locked))`,
			Oldest: `select greatest(created_at, deadline) from branch_markers where state = 'aborted' order by created_at limit 1`,
		},
	}
}
