package cache

import "github.com/prometheus/client_golang/prometheus"

// Results of a fill.
const (
	fillKept     = "kept"
	fillDetached = "detached" // the key changed meanwhile: given to its readers, not kept
	fillFailed   = "failed"
)

// metrics of one cache; of is books or lists.
type metrics struct {
	near, shared, miss, stale, failed prometheus.Counter
	fills                             *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer, of string, entries, bytes func() float64) *metrics {
	labels := prometheus.Labels{"of": of}
	reads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cache_reads_total", Help: "Reads through the cache, by source: near (this gateway's memory), shared (Redis), miss (the service), stale, none (failed).", ConstLabels: labels,
	}, []string{"source"})
	m := &metrics{
		near: reads.WithLabelValues(string(Near)), shared: reads.WithLabelValues(string(Shared)),
		miss: reads.WithLabelValues(string(Miss)), stale: reads.WithLabelValues(string(Stale)),
		failed: reads.WithLabelValues("none"),
		fills: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cache_fills_total", Help: "Fills of the near tier, by result: kept, detached (the key changed meanwhile), failed.", ConstLabels: labels,
		}, []string{"result"}),
	}
	registry.MustRegister(reads, m.fills,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "cache_entries", Help: "Copies in the near tier, stale ones included.", ConstLabels: labels,
		}, entries),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "cache_bytes", Help: "Memory of the copies in the near tier, in bytes.", ConstLabels: labels,
		}, bytes))
	return m
}

// read counts one answer. It looks up no label, since every near hit calls it.
func (m *metrics) read(source Source, err error) {
	switch {
	case err != nil:
		m.failed.Inc()
	case source == Near:
		m.near.Inc()
	case source == Shared:
		m.shared.Inc()
	case source == Stale:
		m.stale.Inc()
	default:
		m.miss.Inc()
	}
}

func (m *metrics) filled(result string) { m.fills.WithLabelValues(result).Inc() }
