package fence

import (
	"os"
	"time"
)

// Heart tells when the member's heart last beat, in whatever clock: only whether it has
// beaten again matters.
type Heart interface {
	Beat() (time.Time, error)
}

// HeartFile is a file on the member's volume that Patroni touches twice a second
// (image/member.py). A member that is merely slow does so now and then, be it ever so late;
// one that is stopped, or in a container that is paused, or without its disk, does not.
type HeartFile string

// Beat is the file's time.
func (f HeartFile) Beat() (time.Time, error) {
	info, err := os.Stat(string(f))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// pulse measures by the fence's own clock for how long a heart has not beaten.
type pulse struct {
	beat  time.Time
	since time.Time // when that beat was first seen
}

// feel returns for how long there has been no other beat.
func (p *pulse) feel(beat, now time.Time) time.Duration {
	if p.since.IsZero() || !beat.Equal(p.beat) {
		p.beat, p.since = beat, now
	}
	return now.Sub(p.since)
}
