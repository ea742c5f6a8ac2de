package export

import (
	"io"
)

// queue lets PostgreSQL write on while DuckDB is at work on what it has read: that reads a whole
// buffer before it looks at it, and a pipe holds next to nothing.
type queue struct {
	full, free chan []byte
	now        []byte
	failed     chan struct{} // closed when the reader is gone, after err is set
	err        error
}

const (
	chunk = 256 << 10 // bytes
	ahead = csvBuffer / chunk
)

// newQueue begins to write into w. Close ends that.
func newQueue(w io.Writer) *queue {
	q := &queue{full: make(chan []byte, ahead), free: make(chan []byte, ahead), failed: make(chan struct{})}
	for range ahead {
		q.free <- nil // made when it is needed
	}
	go func() {
		defer close(q.failed)
		for b := range q.full {
			if _, q.err = w.Write(b); q.err != nil {
				return
			}
			q.free <- b[:0]
		}
	}()
	return q
}

// Write takes a copy of p; an error is one of an earlier write.
func (q *queue) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if q.now == nil {
			select {
			case q.now = <-q.free:
			case <-q.failed:
				return 0, q.err
			}
			if q.now == nil {
				q.now = make([]byte, 0, chunk)
			}
		}
		n := min(len(rest), chunk-len(q.now))
		q.now, rest = append(q.now, rest[:n]...), rest[n:]
		if len(q.now) == chunk {
			q.full <- q.now // has room for all there are
			q.now = nil
		}
	}
	return len(p), nil
}

// Close returns when all is written, or cannot be.
func (q *queue) Close() error {
	if q.now != nil {
		q.full <- q.now
	}
	close(q.full)
	<-q.failed
	return q.err
}
