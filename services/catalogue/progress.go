package catalogue

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// CountingReader counts the bytes that were read through it.
type CountingReader struct {
	In io.Reader
	n  atomic.Int64
}

// Read reads from In.
func (c *CountingReader) Read(p []byte) (int, error) {
	n, err := c.In.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// Bytes is how many bytes were read so far.
func (c *CountingReader) Bytes() int64 { return c.n.Load() }

// Progress draws how far an import is: one line redrawn on a terminal, otherwise a line
// every few seconds.
type Progress struct {
	Out      io.Writer
	Terminal bool
	Total    int64 // bytes of the file; 0 when it is not known
	Bytes    func() int64
	Rows     func() int64
	Started  time.Time
}

// IsTerminal reports whether w is a terminal (or another character device).
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Run draws until ctx ends, and then once more.
func (p *Progress) Run(ctx context.Context) {
	every := 3 * time.Second
	if p.Terminal {
		every = 200 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.draw()
			if p.Terminal {
				_, _ = fmt.Fprintln(p.Out)
			}
			return
		case <-tick.C:
			p.draw()
		}
	}
}

// draw writes one state. A progress line that cannot be written is no reason to stop.
func (p *Progress) draw() {
	const width = 30
	rows, elapsed := p.Rows(), time.Since(p.Started)
	text := fmt.Sprintf("%d rows, %.0f/s", rows, float64(rows)/max(elapsed.Seconds(), 0.001))
	if p.Total > 0 {
		part := min(float64(p.Bytes())/float64(p.Total), 1)
		full := int(part * width)
		text = fmt.Sprintf("[%s%s] %3.0f %%  %s", strings.Repeat("#", full), strings.Repeat(".", width-full), 100*part, text)
	}
	if p.Terminal {
		_, _ = fmt.Fprintf(p.Out, "\r\x1b[K%s", text)
		return
	}
	_, _ = fmt.Fprintln(p.Out, text)
}
