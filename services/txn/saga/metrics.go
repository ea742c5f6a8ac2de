package saga

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what the engine counts.
type Metrics struct {
	sagas      *prometheus.CounterVec
	steps      *prometheus.HistogramVec
	unfinished *prometheus.GaugeVec
	held       prometheus.Gauge
}

// NewMetrics registers the engine's metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		sagas: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "saga_transitions_total", Help: "Sagas that entered a state, by definition; begun is their creation.",
		}, []string{"saga", "state"}),
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "saga_step_seconds", Help: "Calls to participants by step, operation and result.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}, []string{"saga", "step", "op", "result"}),
		unfinished: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sagas", Help: "Sagas of all coordinators that are not over, by definition and state.",
		}, []string{"saga", "state"}),
		held: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "saga_hold", Help: "1 while sagas begun before a restore make no call to outside systems.",
		}),
	}
	registry.MustRegister(m.sagas, m.steps, m.unfinished, m.held)
	return m
}

func (m *Metrics) begun(definition string) { m.sagas.WithLabelValues(definition, "begun").Inc() }

func (m *Metrics) changed(before, after Saga) {
	if before.State != after.State {
		m.sagas.WithLabelValues(after.Definition, string(after.State)).Inc()
	}
}

func (m *Metrics) called(definition string, due Due, happened Event, took time.Duration) {
	m.steps.WithLabelValues(definition, due.Step, string(due.Op), string(happened.Kind)).Observe(took.Seconds())
}

func (m *Metrics) showUnfinished(definitions []Definition, counts map[string]map[State]int) {
	for _, d := range definitions {
		for _, state := range States() {
			if !state.Final() {
				m.unfinished.WithLabelValues(d.Name, string(state)).Set(float64(counts[d.Name][state]))
			}
		}
	}
}
