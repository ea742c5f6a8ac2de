package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// countingReader counts the bytes that were read through it.
type countingReader struct {
	in io.Reader
	n  atomic.Int64
}

// Read reads from in.
func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// bytes is how many bytes were read so far.
func (c *countingReader) bytes() int64 { return c.n.Load() }

// progress draws how far an import is: one line redrawn on a terminal, otherwise a line
// every few seconds.
type progress struct {
	out      io.Writer
	terminal bool
	total    int64 // bytes of the file; 0 when it is not known
	bytes    func() int64
	rows     func() int64
	started  time.Time
}

// isTerminal reports whether w is a terminal (or another character device).
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// run draws until ctx ends, and then once more.
func (p *progress) run(ctx context.Context) {
	every := 3 * time.Second
	if p.terminal {
		every = 200 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.draw()
			if p.terminal {
				_, _ = fmt.Fprintln(p.out)
			}
			return
		case <-tick.C:
			p.draw()
		}
	}
}

// draw writes one state. A progress line that cannot be written is no reason to stop.
func (p *progress) draw() {
	const width = 30
	rows, elapsed := p.rows(), time.Since(p.started)
	text := fmt.Sprintf("%d rows, %.0f/s", rows, float64(rows)/max(elapsed.Seconds(), 0.001))
	if p.total > 0 {
		part := min(float64(p.bytes())/float64(p.total), 1)
		full := int(part * width)
		text = fmt.Sprintf("[%s%s] %3.0f %%  %s", strings.Repeat("#", full), strings.Repeat(".", width-full), 100*part, text)
	}
	if p.terminal {
		_, _ = fmt.Fprintf(p.out, "\r\x1b[K%s", text)
		return
	}
	_, _ = fmt.Fprintln(p.out, text)
}
