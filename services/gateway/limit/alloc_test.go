package limit

import (
	"context"
	"testing"

	"bookstore/services/platform/redis/redistest"
)

// benchmarks are let in always: no loop asks that fast.
var benchmarks = Limits{Rate: 1e9, Burst: 1e9, InFlight: 2048}

// It runs alone: allocations are counted in the whole process.
func TestAdmittingAllocatesNothing(t *testing.T) { //nolint:paralleltest // see above
	for name, l := range map[string]*Limiter{
		"local": New(Options{}), "leased": New(Options{Redis: open(t, redistest.Cluster(t))}),
	} {
		ctx := t.Context()
		allocations := testing.AllocsPerRun(1000, func() {
			if _, err := l.Admit(ctx, "token:bench", benchmarks); err != nil {
				t.Error(err)
			}
			l.Leave("token:bench")
		})
		if allocations != 0 {
			t.Errorf("%s: %v allocations per request", name, allocations)
		}
		l.end()
		if err := l.drain(ctx); err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	for name, l := range map[string]*Limiter{
		"local": New(Options{}), "leased": New(Options{Redis: open(b, redistest.Cluster(b))}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := l.Admit(context.Background(), "token:bench", benchmarks); err == nil {
						l.Leave("token:bench")
					}
				}
			})
		})
		l.end()
		if err := l.drain(context.Background()); err != nil {
			b.Error(err)
		}
	}
}
