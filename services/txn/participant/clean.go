package participant

import (
	"time"

	"github.com/google/uuid"

	"bookstore/services/platform/clean"
	"bookstore/services/platform/fault"
)

// BranchMarkersKept is how long the marker of a committed branch is kept. It tells a
// repeated commit from a lost branch, so it outlives every coordinator that may
// repeat one: those that were down, and those restored from a backup, which may not
// be older. It is deleted before the coordinator's row, whose key could otherwise
// make the same gid again (txnpg/prune.go has the whole order).
const BranchMarkersKept = 30 * 24 * time.Hour

// tombstonesKept is how long after its deadline a tombstone is kept. A prepare that
// arrives later is refused because of its deadline.
const tombstonesKept = time.Hour

// BranchCleaners delete old markers and tombstones. Both find them by the index on
// (state, created_at). The age of a tombstone counts from its deadline, which is
// never long after it was made.
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
// A participant does not know which sagas are unfinished, and a stuck one may be
// older than its markers. Without its marker, a step that was done cannot be told
// from one that was not: an undo would change nothing and answer that it is undone,
// and a do would do it twice. So both are refused for a saga that is too old
// (markerGone). It stays stuck until operators resolve it.
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

// markerGone is the refusal of a step without a marker whose saga is so old that the
// marker may have been deleted; nil for a younger saga. The age of a saga is in its
// id, a UUIDv7; ids of other versions have none.
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
