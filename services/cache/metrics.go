package cache

import "github.com/prometheus/client_golang/prometheus"

// What becomes of a fill.
const (
	fillKept     = "kept"
	fillDetached = "detached" // it may show what has been changed meanwhile
	fillFailed   = "failed"
)

// metrics of one cache; of says which.
type metrics struct {
	near, shared, miss, stale, failed prometheus.Counter
	fills                             *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer, of string, entries, bytes func() float64) *metrics {
	labels := prometheus.Labels{"of": of}
	reads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cache_reads_total", Help: "Reads of what is cached, by where the answer came from.", ConstLabels: labels,
	}, []string{"source"})
	m := &metrics{
		near: reads.WithLabelValues(string(Near)), shared: reads.WithLabelValues(string(Shared)),
		miss: reads.WithLabelValues(string(Miss)), stale: reads.WithLabelValues(string(Stale)),
		failed: reads.WithLabelValues("none"),
		fills: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cache_fills_total", Help: "Fills of the near tier, by what became of them.", ConstLabels: labels,
		}, []string{"result"}),
	}
	registry.MustRegister(reads, m.fills,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "cache_entries", Help: "Copies in the near tier, stale ones included.", ConstLabels: labels,
		}, entries),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "cache_bytes", Help: "What the copies in the near tier take.", ConstLabels: labels,
		}, bytes))
	return m
}

// read counts one answer. There is no lookup by label: this is on the way of
// every near hit.
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
