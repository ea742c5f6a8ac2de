//go:build bench

package run_test

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"bookstore/warehouse/equations"
	"bookstore/warehouse/report"
	"bookstore/warehouse/reports"
	"bookstore/warehouse/run"
)

// peak is the most memory that the process has had since the last forget, in MiB.
func peak(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if text, is := strings.CutPrefix(line, "VmHWM:"); is {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return kib >> 10
		}
	}
	t.Fatal("the kernel does not tell the peak")
	return 0
}

func forget(t *testing.T) {
	t.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// TestBenchWarehouse measures runs over the shop's own tables with a tenth of ROWS order lines (10 million), and with all,
// and what each report takes.
func TestBenchWarehouse(t *testing.T) {
	rows := 10_000_000
	if text := os.Getenv("ROWS"); text != "" {
		var err error
		if rows, err = strconv.Atoi(text); err != nil || rows < 30_000 {
			t.Fatalf("ROWS: %q is not a number from 30000 on", text)
		}
	}
	s := newLargeShop(t, rows)
	small := s.bench(rows/10, 3)
	large := s.bench(rows, 1)
	s.reports()
	fmt.Printf("figure export_vs_copy_ratio %.2f\nfigure incremental_speedup %.0f\nfigure peak_mib_%dm %d\nfigure peak_mib_%dm %d\n",
		large.copied.Seconds()/large.full.Seconds(), large.full.Seconds()/large.incremental.Seconds(), rows/10_000_000, small.peak, rows/1_000_000, large.peak)
}

// bench is what runs over so many order lines took.
type bench struct {
	copied, full, incremental time.Duration
	rows                      int64
	peak                      int
}

// bench compares runs with COPY of the same columns of the same tables, in turns; the median counts.
func (s *largeShop) bench(lines, rounds int) (b bench) {
	t := s.t
	t.Helper()
	s.grow(lines)
	var copies, fulls, increments []time.Duration
	for range rounds {
		forget(t)
		full := s.run(run.Options{Full: true, NoVerify: true})
		b.peak = max(b.peak, peak(t))
		copies = append(copies, s.copy(full.Manifest))
		s.grow(s.lines + lines/1000)
		forget(t)
		incremental := s.run(run.Options{NoVerify: true})
		if incremental.Why != "" {
			t.Fatal(incremental.Why)
		}
		b.peak = max(b.peak, peak(t))
		fulls, increments = append(fulls, full.Reading), append(increments, incremental.Reading)
		b.rows = full.Read.Rows
	}
	b.copied, b.full, b.incremental = median(copies), median(fulls), median(increments)
	forget(t)
	verified := s.run(run.Options{Full: true, Check: equations.Check})
	b.peak = max(b.peak, peak(t))
	t.Logf("%d order lines, %d rows: COPY %s, full %s (%.0f rows/s), its verification %s, incremental of 0.1 %% %s, peak %d MiB",
		lines, b.rows, b.copied, b.full, float64(b.rows)/b.full.Seconds(), verified.Proving, b.incremental, b.peak)
	return b
}

// reports times each report: of the time that it is for by itself, of a day, and of all.
func (s *largeShop) reports() {
	s.t.Helper()
	files, err := fs.Glob(reports.Files, "*.sql")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, ".sql")
		if name == "prelude" {
			continue
		}
		var took [3]time.Duration
		forget(s.t)
		for i, since := range []string{"", "1d", "all"} {
			args := []string{"report", name, "--format", "csv"}
			if since != "" {
				args = append(args, "--since", since)
			}
			began := time.Now()
			if err := report.Main(s.t.Context(), args, s.dir, strings.NewReader(""), io.Discard, io.Discard); err != nil {
				s.t.Fatalf("%q: %v", args, err)
			}
			took[i] = time.Since(began).Round(time.Millisecond)
		}
		s.t.Logf("%-24s %s, of a day %s, of all %s, peak %d MiB", name, took[0], took[1], took[2], peak(s.t))
	}
}
