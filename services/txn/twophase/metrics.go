package twophase

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what an engine counts about two-phase commits.
type Metrics struct {
	attempts   *prometheus.CounterVec
	answers    *prometheus.CounterVec
	phases     *prometheus.HistogramVec
	contended  *prometheus.CounterVec
	lost       prometheus.Counter
	takenOver  prometheus.Counter
	queries    *prometheus.CounterVec
	unfinished *prometheus.GaugeVec
	oldest     prometheus.Gauge
	heuristic  prometheus.Gauge
	inHand     prometheus.Gauge
	stalled    prometheus.Gauge
}

// NewMetrics registers them.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "twopc_attempts_total", Help: "Attempts of transactions by kind and the state that was decided.",
		}, []string{"kind", "state"}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "twopc_answers_total", Help: "Answers to requests by kind and problem code, done or replayed.",
		}, []string{"kind", "answer"}),
		phases: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "twopc_phase_seconds", Help: "Duration of the phases of an attempt.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"phase"}),
		contended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "twopc_contended_total", Help: "Prepares that met a locked row and were repeated, by branch.",
		}, []string{"branch"}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "twopc_heuristic_total", Help: "Branches that did not follow the decision, as this instance found.",
		}),
		takenOver: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "twopc_taken_over_total", Help: "Attempts taken over from an owner whose lease lapsed.",
		}),
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "twopc_decision_queries_total", Help: "Participants' queries about branches in doubt, by answer.",
		}, []string{"answer"}),
		unfinished: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "twopc_unfinished", Help: "Attempts of all coordinators that are not finished, by state.",
		}, []string{"state"}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "twopc_unfinished_oldest_seconds", Help: "Age of the oldest attempt that is not finished, 0 without any.",
		}),
		heuristic: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "twopc_heuristic_recent", Help: "Transactions that ended in a heuristic outcome in the last 24 hours.",
		}),
		inHand: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "twopc_in_hand", Help: "Attempts that this instance is driving.",
		}),
		stalled: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "twopc_stalled", Help: "Attempts in hand that make no progress: their leases are not renewed, for others to take them over.",
		}),
	}
	registry.MustRegister(m.stalled, m.attempts, m.answers, m.phases, m.contended, m.lost, m.takenOver, m.queries,
		m.unfinished, m.oldest, m.heuristic, m.inHand)
	return m
}

// phase starts a timer; calling what it returns ends it.
func (m *Metrics) phase(name string) func() {
	start := time.Now()
	return func() { m.phases.WithLabelValues(name).Observe(time.Since(start).Seconds()) }
}

func (m *Metrics) showUnfinished(counts map[State]Backlog) {
	var oldest time.Duration
	for _, s := range []State{Preparing, Committing, Aborted} {
		m.unfinished.WithLabelValues(string(s)).Set(float64(counts[s].Count))
		oldest = max(oldest, counts[s].Oldest)
	}
	m.oldest.Set(oldest.Seconds())
	m.heuristic.Set(float64(counts[Heuristic].Count))
}
