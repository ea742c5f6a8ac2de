package fence

import "time"

// Question is one that was put to the member.
type Question struct {
	Due, Began, Ended time.Time
	Patience          time.Duration // what the answer was given
	Answered          bool
}

// Silence is how long a member has left all questions unanswered.
//
// Only questions count in which the fence itself was on schedule. On a machine that is
// short of processors, or that stood still as a whole, the fence is late as well as the
// member, and a silence that it measures there says nothing about the member.
type Silence struct {
	Slack time.Duration // how late the fence may be

	began time.Time // of the first unanswered question; zero: the last one was answered
}

// Add returns how long the silence is now.
func (s *Silence) Add(q Question) time.Duration {
	late := max(q.Began.Sub(q.Due), q.Ended.Sub(q.Began)-q.Patience)
	if q.Answered || late > s.Slack {
		s.Reset()
		return 0
	}
	if s.began.IsZero() {
		s.began = q.Began
	}
	return q.Ended.Sub(s.began)
}

// Reset begins anew.
func (s *Silence) Reset() { s.began = time.Time{} }
