package pg

import (
	"testing"
	"time"
)

func TestWhichReplicasAreCloseEnough(t *testing.T) {
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	at := func(timeline uint32, lsn uint64) Position { return Position{System: 7, Timeline: timeline, LSN: lsn} }
	alive := []report{
		{at: ago(1300 * time.Millisecond), position: at(2, 100)}, {at: ago(400 * time.Millisecond), position: at(2, 200)},
		{at: ago(100 * time.Millisecond), position: at(2, 300)},
	}
	silent := []report{{at: ago(31 * time.Second), position: at(2, 200)}, {at: ago(30 * time.Second), position: at(2, 300)}}
	for name, c := range map[string]struct {
		leader []report
		member report
		age    time.Duration
		ok     bool
	}{
		"has everything":              {alive, report{at: now, position: at(2, 300)}, 100 * time.Millisecond, true},
		"is a moment behind":          {alive, report{at: now, position: at(2, 299)}, 400 * time.Millisecond, true},
		"is too far behind":           {alive, report{at: now, position: at(2, 199)}, 0, false},
		"has nothing":                 {alive, report{at: now, position: at(2, 1)}, 0, false},
		"goes on after a failover":    {alive, report{at: now, position: at(3, 310)}, 100 * time.Millisecond, true},
		"follows a deposed leader":    {alive, report{at: now, position: at(1, 999)}, 0, false},
		"is of another cluster":       {alive, report{at: now, position: Position{System: 8, Timeline: 2, LSN: 999}}, 0, false},
		"has said nothing for long":   {alive, report{at: ago(2 * time.Second), position: at(2, 300)}, 0, false},
		"leads":                       {alive, report{at: now, position: at(2, 300), leading: true}, 0, false},
		"nobody leads":                {silent, report{at: now, position: at(2, 300)}, 30 * time.Second, true},
		"lacks what nobody confirmed": {silent, report{at: now, position: at(2, 250)}, 31 * time.Second, true},
		"no leader was ever seen":     {nil, report{at: now, position: at(2, 300)}, 0, false},
	} {
		r := &Replicas{samples: c.leader}
		age, ok := r.lag(&c.member, now)
		if ok != c.ok || ok && age != c.age {
			t.Errorf("%s: %s, %t", name, age, ok)
		}
	}
}

// A leader that was deposed may still say something when it is thawed.
func TestADeposedLeadersReportIsIgnored(t *testing.T) {
	r, now := &Replicas{}, time.Now()
	for i := range 3 * samplesKept {
		r.sample(report{at: now.Add(time.Duration(i)), position: Position{System: 7, Timeline: 2, LSN: uint64(i)}, leading: true})
	}
	r.sample(report{at: now.Add(time.Hour), position: Position{System: 7, Timeline: 1, LSN: 1 << 40}, leading: true})
	if n := len(r.samples); n != samplesKept || r.samples[n-1].position.LSN != 3*samplesKept-1 {
		t.Errorf("%d samples, the last %+v", n, r.samples[n-1])
	}
	r.sample(report{at: now.Add(time.Hour), position: Position{System: 8, Timeline: 1, LSN: 1}, leading: true})
	if n := len(r.samples); n != 1 {
		t.Errorf("%d samples of two clusters", n)
	}
}
