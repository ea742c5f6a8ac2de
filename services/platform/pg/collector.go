package pg

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// Collector shows a pool's state as metrics, read when they are asked for.
type Collector struct {
	pool    *pgxpool.Pool
	metrics []poolMetric
}

type poolMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*pgxpool.Stat) float64
}

// NewCollector makes the collector of one pool; name becomes the label "pool".
func NewCollector(pool *pgxpool.Pool, name string) *Collector {
	c := &Collector{pool: pool}
	add := func(metric, help string, kind prometheus.ValueType, read func(*pgxpool.Stat) float64) {
		desc := prometheus.NewDesc("db_pool_"+metric, help, nil, prometheus.Labels{"pool": name})
		c.metrics = append(c.metrics, poolMetric{desc, kind, read})
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	add("connections", "Connections open or being opened.", gauge,
		func(s *pgxpool.Stat) float64 { return float64(s.TotalConns()) })
	add("connections_in_use", "Connections in use.", gauge,
		func(s *pgxpool.Stat) float64 { return float64(s.AcquiredConns()) })
	add("connections_max", "Most connections the pool opens.", gauge,
		func(s *pgxpool.Stat) float64 { return float64(s.MaxConns()) })
	add("acquires_total", "Connections handed out.", counter,
		func(s *pgxpool.Stat) float64 { return float64(s.AcquireCount()) })
	add("acquire_waits_total", "Connections that had to be waited for.", counter,
		func(s *pgxpool.Stat) float64 { return float64(s.EmptyAcquireCount()) })
	add("acquire_wait_seconds_total", "Time spent waiting for connections.", counter,
		func(s *pgxpool.Stat) float64 { return s.EmptyAcquireWaitTime().Seconds() })
	add("connects_total", "Connections made.", counter,
		func(s *pgxpool.Stat) float64 { return float64(s.NewConnsCount()) })
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	stat := c.pool.Stat()
	for _, m := range c.metrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read(stat))
	}
}
