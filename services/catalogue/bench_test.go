//go:build bench

package catalogue

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"
	"time"
)

// generated is a file of n rows that is nowhere as a whole.
func generated(n int) io.Reader {
	r, w := io.Pipe()
	go func() {
		_, err := io.WriteString(w, header)
		for i := 0; i < n && err == nil; i++ {
			_, err = fmt.Fprintf(w, "id-%d,,\"Ann Author, Bea %d\",%d.0,\"Title %d, part %d\",eng,4.1,%d\r\n", i, i%1000, 1900+i%120, i, i%7, i)
		}
		_ = w.CloseWithError(err)
	}()
	return r
}

// counted counts the bytes that are read through it.
type counted struct {
	io.Reader

	bytes int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.bytes += n
	return n, err
}

// TestBenchReader prints how fast a file is read and how much memory a long one takes.
func TestBenchReader(t *testing.T) {
	const rows = 1_000_000
	in := &counted{Reader: generated(rows)}
	r, err := NewReader(in, "")
	if err != nil {
		t.Fatal(err)
	}
	var memory runtime.MemStats
	heap := func() float64 {
		runtime.GC()
		runtime.ReadMemStats(&memory)
		return float64(memory.HeapAlloc) / (1 << 20)
	}
	begun, before, early, read := time.Now(), heap(), 0.0, 0
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if read++; read == rows/100 {
			early = heap()
		}
	}
	took := time.Since(begun)
	if read != rows {
		t.Fatalf("%d rows of %d", read, rows)
	}
	_, _ = fmt.Fprintf(os.Stdout, "figure reader_mb_per_s %.1f\n", float64(in.bytes)/1e6/took.Seconds())
	_, _ = fmt.Fprintf(os.Stdout, "figure reader_heap_mib_10k_rows %.1f\n", early-before)
	late := heap()
	_, _ = fmt.Fprintf(os.Stdout, "figure reader_heap_mib_1m_rows %.1f\n", late-before)
	// What grows are the eight bytes of each id that was seen.
	if late-before > 48 {
		t.Errorf("%.1f MiB after a million rows", late-before)
	}
	runtime.KeepAlive(r)
}
