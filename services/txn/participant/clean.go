package participant

import (
	"time"

	"github.com/google/uuid"

	"bookstore/services/platform/clean"
	"bookstore/services/platform/fault"
)

// BranchMarkersKept is how long the marker of a committed branch is kept. It tells a
// commit that is asked for again from a branch that is lost, so it outlives
// whatever may ask: coordinators that were down, and those that were restored
// from a backup, none of which may be older. And it goes before the
// coordinator's row, whose key could otherwise make the same gid once more
// (txnpg/prune.go has the whole order).
const BranchMarkersKept = 30 * 24 * time.Hour

// tombstonesKept is how long after its deadline an aborted transaction is
// remembered: no prepare of it can be under way any more, and one that came
// still would be refused as late.
const tombstonesKept = time.Hour

// BranchCleaners delete markers and tombstones that nobody can need any more. Both
// find them by the index on (state, created_at). A tombstone counts from its
// deadline, which is never long after it was made.
func BranchCleaners() []clean.Job {
	return []clean.Job{
		{
			Name: "branch_markers", Keep: BranchMarkersKept,
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

// StepMarkersKept is how long the marker of a step is kept.
const StepMarkersKept = 60 * 24 * time.Hour

// youngFor is how old a saga may be for a missing marker to mean that there
// never was one. The day below StepMarkersKept is for clocks that differ.
const youngFor = StepMarkersKept - 24*time.Hour

// StepCleaner deletes markers that have been kept for long enough.
//
// A participant does not know which sagas are still unfinished, and one that is
// stuck may be older than its markers. Without its marker a step that was done
// looks like one that never was: undoing it would change nothing and say that
// it is undone, doing it again would do it twice. So a saga that is too old is
// refused both (markerGone), which leaves it stuck, for people to look at.
func StepCleaner() clean.Job {
	return clean.Job{
		Name: "step_markers", Keep: StepMarkersKept,
		Delete: `
delete from step_markers where ctid = any (array(
	select ctid from step_markers where created_at < now() - $1::interval
	order by created_at limit $2 for update skip locked))`,
		Oldest: `select created_at from step_markers order by created_at limit 1`,
	}
}

// markerGone is why nothing is done about a step that has no marker any more, or
// never had one; nil while its saga is young enough for the marker to be there.
// The age of a saga is in its id, a UUIDv7; ids of other versions tell none.
func markerGone(k Key, now time.Time) error {
	id, err := uuid.Parse(k.Saga)
	if err != nil {
		return fault.Wrap("read the saga's id", err)
	}
	if id.Version() != 7 {
		return nil
	}
	begun := time.Unix(id.Time().UnixTime())
	if now.Sub(begun) < youngFor {
		return nil
	}
	return fault.Newf(fault.Lost, "the saga began on %s and markers are kept for %d days: whether step %s was done is not known here; "+
		"once it is settled by hand, a marker 'undone' in step_markers says so", begun.UTC().Format(time.DateOnly), StepMarkersKept/(24*time.Hour), k.Step)
}
