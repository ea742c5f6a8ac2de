//go:build bench

package run_test

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"bookstore/warehouse/run"
)

// rounds of what is compared, in turns; the median counts.
const rounds = 3

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

// TestBenchWarehouse measures runs over order lines, a tenth of ROWS of them (10 million) and all.
func TestBenchWarehouse(t *testing.T) {
	rows := 10_000_000
	if text := os.Getenv("ROWS"); text != "" {
		var err error
		if rows, err = strconv.Atoi(text); err != nil || rows < 10_000 {
			t.Fatalf("ROWS: %q is not a number from 10000 on", text)
		}
	}
	s := newShop(t)
	s.do(s.odb, `drop table items; create table order_items (order_id uuid, line int, book_id bigint not null, title text not null,
		quantity bigint not null, unit_price_cents bigint not null, primary key (order_id, line))`)
	s.do(s.odb, "select warehouse_track('order_items')")
	var last bench
	for _, n := range []int{rows / 10, rows} {
		last = s.bench(n)
	}
	fmt.Printf("figure export_vs_copy_ratio %.2f\nfigure incremental_speedup %.0f\nfigure peak_mib_%dm %d\n",
		last.copied.Seconds()/last.full.Seconds(), last.full.Seconds()/last.incremental.Seconds(), rows/1_000_000, last.peak)
}

// bench is what runs over so many rows took.
type bench struct {
	copied, full, incremental time.Duration
	peak                      int
}

func (s *shop) bench(n int) (b bench) {
	t := s.t
	t.Helper()
	s.do(s.odb, fmt.Sprintf(`insert into order_items select md5((i / 3)::text)::uuid, i %% 3, i %% 10000, 'The title of book ' || i %% 10000,
		1 + i %% 5, i %% 4000 from generate_series((select count(*) from order_items), %d - 1) i; analyze order_items`, n))
	var copies, fulls, increments []time.Duration
	for range rounds {
		began := time.Now()
		if _, err := s.odb.PgConn().CopyTo(t.Context(), io.Discard, "copy order_items to stdout"); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, time.Since(began))
		forget(t)
		full := s.run(run.Options{Full: true, NoVerify: true})
		b.peak = max(b.peak, peak(t))
		s.do(s.odb, fmt.Sprintf("update order_items set quantity = quantity + 1 where order_id in (select md5(i::text)::uuid from generate_series(1, %d) i)", n/3000))
		incremental := s.run(run.Options{NoVerify: true})
		fulls, increments = append(fulls, full.Reading), append(increments, incremental.Reading)
	}
	b.copied, b.full, b.incremental = median(copies), median(fulls), median(increments)
	forget(t)
	verified := s.run(run.Options{Full: true})
	b.peak = max(b.peak, peak(t))
	t.Logf("%d rows: COPY %s, full %s (%.0f rows/s), its verification %s, incremental of 0.1 %% %s, peak %d MiB",
		n, b.copied, b.full, float64(n)/b.full.Seconds(), verified.Proving, b.incremental, b.peak)
	return b
}
