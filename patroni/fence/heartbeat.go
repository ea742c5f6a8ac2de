package fence

import (
	"os"
	"time"
)

// Heartbeat tells the time of the member's last heartbeat, in whatever clock: the fence only compares it with earlier ones.
type Heartbeat interface {
	Last() (time.Time, error)
}

// HeartbeatFile is a file on the member's volume that Patroni touches twice a second (image/member.py). A member that is
// merely slow still touches it now and then. One that is stopped, in a paused container, or without its disk does not.
type HeartbeatFile string

// Last is the file's modification time.
func (f HeartbeatFile) Last() (time.Time, error) {
	info, err := os.Stat(string(f))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// missed measures, by the fence's own clock, for how long there has been no new heartbeat.
type missed struct {
	last  time.Time
	since time.Time // when that heartbeat was first seen
}

// observe returns the time since the last new heartbeat.
func (m *missed) observe(last, now time.Time) time.Duration {
	if m.since.IsZero() || !last.Equal(m.last) {
		m.last, m.since = last, now
	}
	return now.Sub(m.since)
}
