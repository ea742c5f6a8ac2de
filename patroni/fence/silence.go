package fence

import "time"

// Probe is one request to the member and its outcome.
type Probe struct {
	Due, Began, Ended time.Time
	Patience          time.Duration // the time limit of the answer
	Answered          bool
}

// Silence is how long a member has left all probes unanswered.
//
// Only probes count in which the fence itself was on schedule. On a machine that is
// short of processors, or that stood still as a whole, the fence is late as well as the
// member, and a silence that it measures there says nothing about the member.
type Silence struct {
	Slack time.Duration // how late the fence may be

	began time.Time // of the first unanswered probe; zero: the last one was answered
}

// Add returns how long the silence is now.
func (s *Silence) Add(p Probe) time.Duration {
	late := max(p.Began.Sub(p.Due), p.Ended.Sub(p.Began)-p.Patience)
	if p.Answered || late > s.Slack {
		s.Reset()
		return 0
	}
	if s.began.IsZero() {
		s.began = p.Began
	}
	return p.Ended.Sub(s.began)
}

// Reset begins anew.
func (s *Silence) Reset() { s.began = time.Time{} }
