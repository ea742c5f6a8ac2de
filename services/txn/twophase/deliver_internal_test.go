package twophase

import (
	"fmt"
	"log/slog"
	"testing"
)

// Where the recorder writes nothing any more, attempts end nevertheless: what
// has no room in its queue loses its lease, for others to take over.
func TestEndedAttemptsDoNotWaitForTheRecorder(t *testing.T) {
	t.Parallel()
	l := newLeases()
	f := newFinisher(Dependencies{Log: slog.New(slog.DiscardHandler)}, DefaultSettings("one"), l)
	room := cap(f.finished)
	for i := range room + 1 {
		gid := fmt.Sprint("g", i)
		l.hold(gid)
		f.enqueue(Finished{GID: gid, State: Committed})
	}
	if len(f.finished) != room || l.count() != room {
		t.Errorf("%d of %d attempts are queued and %d leases held", len(f.finished), room, l.count())
	}
}

func TestOnlyWhatMakesProgressIsRenewed(t *testing.T) {
	t.Parallel()
	l := newLeases()
	l.hold("hangs")
	l.hold("moves")
	hung := l.held["hangs"]
	hung.progress = hung.progress.Add(-DefaultSettings("one").Stall)
	l.held["hangs"] = hung
	gids, stalled := l.due(0, DefaultSettings("one").Stall)
	if len(gids) != 1 || gids[0] != "moves" || stalled != 1 {
		t.Errorf("renewed %q, %d stalled", gids, stalled)
	}
	l.progress("hangs")
	if gids, stalled := l.due(0, DefaultSettings("one").Stall); len(gids) != 2 || stalled != 0 {
		t.Errorf("renewed %q, %d stalled", gids, stalled)
	}
	if len(l.all()) != 2 {
		t.Errorf("%q are in hand", l.all())
	}
}
