package step

import (
	"time"

	"github.com/google/uuid"

	"bookstore/services/platform/clean"
	"bookstore/services/platform/fault"
)

// MarkersKept is how long the marker of a step is kept.
const MarkersKept = 60 * 24 * time.Hour

// youngFor is how old a saga may be for a missing marker to mean that there
// never was one. The day below MarkersKept is for clocks that differ.
const youngFor = MarkersKept - 24*time.Hour

// Cleaner deletes markers that have been kept for long enough.
//
// A participant does not know which sagas are still unfinished, and one that is
// stuck may be older than its markers. Without its marker a step that was done
// looks like one that never was: undoing it would change nothing and say that
// it is undone, doing it again would do it twice. So a saga that is too old is
// refused both (forgotten), which leaves it stuck, for people to look at.
func Cleaner() clean.Job {
	return clean.Job{
		Name: "step_markers", Keep: MarkersKept,
		Delete: `
delete from step_markers where ctid = any (array(
	select ctid from step_markers where created_at < now() - $1::interval
	order by created_at limit $2 for update skip locked))`,
		Oldest: `select created_at from step_markers order by created_at limit 1`,
	}
}

// forgotten is why nothing is done about a step that has no marker any more, or
// never had one; nil while its saga is young enough for the marker to be there.
// The age of a saga is in its id, a UUIDv7; ids of other versions tell none.
func forgotten(k Key, now time.Time) error {
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
		"once it is settled by hand, a marker 'undone' in step_markers says so", begun.UTC().Format(time.DateOnly), MarkersKept/(24*time.Hour), k.Step)
}
