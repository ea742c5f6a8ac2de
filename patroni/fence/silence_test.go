package fence_test

import (
	"testing"
	"time"

	"bookstore/patroni/fence"
)

// second is when a question begins, in seconds, and how it went.
type second struct {
	due, began, ended float64
	answered          bool
}

func TestSilence(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		questions []second
		want      float64 // seconds
	}{
		"all are answered":       {[]second{{0, 0, 0.01, true}, {1, 1, 1.02, true}}, 0},
		"four are not":           {[]second{{0, 0, 1, false}, {1, 1, 2, false}, {2, 2, 3, false}, {3, 3, 4, false}}, 4},
		"one answer in between":  {[]second{{0, 0, 1, false}, {1, 1, 2, false}, {2, 2, 2.9, true}, {3, 3, 4, false}}, 1},
		"the fence asks late":    {[]second{{0, 0, 1, false}, {1, 1.5, 2.5, false}, {2.5, 2.5, 3.5, false}}, 1},
		"the fence hears late":   {[]second{{0, 0, 1, false}, {1, 1, 2.5, false}}, 0},
		"a little late is none":  {[]second{{0, 0, 1.1, false}, {1.1, 1.2, 2.2, false}}, 2.2},
		"a late answer is one":   {[]second{{0, 0, 1, false}, {1, 1, 3, true}, {3, 3, 4, false}}, 1},
		"the whole machine hung": {[]second{{0, 0, 1, false}, {1, 9, 10, false}, {10, 10, 11, false}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := func(s float64) time.Time { return time.Unix(0, 0).Add(time.Duration(s * float64(time.Second))) }
			s, got := fence.Silence{Slack: 250 * time.Millisecond}, time.Duration(0)
			for _, q := range c.questions {
				got = s.Add(fence.Probe{Due: at(q.due), Began: at(q.began), Ended: at(q.ended), Patience: time.Second, Answered: q.answered})
			}
			if want := time.Duration(c.want * float64(time.Second)); got != want {
				t.Errorf("the silence is %s, want %s", got, want)
			}
		})
	}
}
