package clean

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics tell how far a cleaner is.
type metrics struct {
	removed *prometheus.CounterVec
	shrunk  *prometheus.CounterVec
	oldest  *ages
}

// ages is a collector of how old the oldest row of each job is: what was measured last, and the time since. So a job that
// cannot be measured any more is seen to grow old.
type ages struct {
	jobs         []Job
	keep, oldest *prometheus.Desc

	mu   sync.Mutex
	seen map[string]seen
}

type seen struct {
	at  time.Time
	age time.Duration
}

func newMetrics(jobs []Job) metrics {
	label := []string{"cleaner"}
	m := metrics{
		removed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cleaner_removed_rows_total",
			Help: "Rows deleted because their retention was over, by job.",
		}, label),
		shrunk: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cleaner_shrunk_batches_total",
			Help: "Delete batches that ran into the statement time-out and were repeated with fewer rows.",
		}, label),
		oldest: &ages{jobs: jobs, seen: map[string]seen{}},
	}
	m.oldest.keep = describe(prometheus.Opts{
		Name: "cleaner_keep_seconds",
		Help: "Retention of the rows of a job, in seconds.",
	}, label)
	m.oldest.oldest = describe(prometheus.Opts{
		Name: "cleaner_oldest_seconds",
		Help: "Age of the oldest row that exists; when there is none, the time since the last measurement.",
	}, label)
	for _, j := range jobs {
		m.removed.WithLabelValues(j.Name)
		m.shrunk.WithLabelValues(j.Name)
	}
	return m
}

func describe(o prometheus.Opts, labels []string) *prometheus.Desc {
	return prometheus.NewDesc(o.Name, o.Help, labels, nil)
}

// seen notes how old the oldest row of a job is now.
func (m metrics) seen(job string, age time.Duration) {
	m.oldest.mu.Lock()
	defer m.oldest.mu.Unlock()
	m.oldest.seen[job] = seen{time.Now(), age}
}

// Describe implements prometheus.Collector.
func (m metrics) Describe(to chan<- *prometheus.Desc) {
	m.removed.Describe(to)
	m.shrunk.Describe(to)
	to <- m.oldest.keep
	to <- m.oldest.oldest
}

// Collect implements prometheus.Collector.
func (m metrics) Collect(to chan<- prometheus.Metric) {
	m.removed.Collect(to)
	m.shrunk.Collect(to)
	o := m.oldest
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, j := range o.jobs {
		to <- prometheus.MustNewConstMetric(o.keep, prometheus.GaugeValue, j.Keep.Seconds(), j.Name)
		if s, ok := o.seen[j.Name]; ok {
			to <- prometheus.MustNewConstMetric(o.oldest, prometheus.GaugeValue, (s.age + time.Since(s.at)).Seconds(), j.Name)
		}
	}
}
