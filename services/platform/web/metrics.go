package web

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are rate, errors and duration by route pattern.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	streams  prometheus.Gauge

	// lines are the counters of what has been seen before: finding one by its
	// labels costs more than some answers do. There are no more of them than
	// routes, methods and statuses.
	mu    sync.RWMutex
	lines map[lineKey]line
}

type lineKey struct {
	method, route string
	status        int
}

type line struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

func newMetrics(registry *prometheus.Registry) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Requests answered, by route pattern.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "Time to answer, by route pattern.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "http_requests_in_flight", Help: "Requests in progress.",
		}),
		// A stream is a request that is answered when it begins, and one of these
		// until it ends.
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "http_streams_open", Help: "Event streams that are open.",
		}),
		lines: map[lineKey]line{},
	}
	registry.MustRegister(m.requests, m.duration, m.inFlight, m.streams)
	return m
}

func (m *metrics) done(r seen) {
	l := m.line(lineKey{r.method, r.route, r.status})
	l.requests.Inc()
	l.duration.Observe(r.took.Seconds())
}

func (m *metrics) line(key lineKey) line {
	m.mu.RLock()
	l, known := m.lines[key]
	m.mu.RUnlock()
	if known {
		return l
	}
	l = line{
		m.requests.WithLabelValues(key.method, key.route, strconv.Itoa(key.status)),
		m.duration.WithLabelValues(key.method, key.route),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines[key] = l
	return l
}
