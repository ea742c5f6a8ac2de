package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// Open makes a pool of connections to the leader. No server needs to run yet:
// connections are made on demand, each to the member that takes writes at that
// moment. name is the application_name and the pool's label; reg may be nil.
func Open(ctx context.Context, c Config, name string, reg *prometheus.Registry, opts ...Option) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(c.DSN.Reveal())
	if err != nil {
		return nil, fmt.Errorf("open pool %s: %w", name, c.Validate())
	}
	session(cfg.ConnConfig, name)
	cfg.MaxConns = c.MaxConns
	if cfg.MaxConns < 1 {
		cfg.MaxConns = 8
	}
	w := &watch{config: c, gate: newConnectGate(), bounds: newBounds(name, reg)}
	for _, o := range opts {
		o(w)
	}
	w.keep(cfg)
	cfg.ConnConfig.ValidateConnect = requireLeader
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open pool %s: %w", name, err)
	}
	w.reset.Store(new(pool.Reset))
	if reg != nil {
		reg.MustRegister(NewCollector(pool, name))
	}
	return pool, nil
}

// session sets the parameters of every connection of a service. Their time-outs keep
// an abandoned or frozen client from holding a lock for long. synchronous_commit must
// not be set: it would void the protocols' guarantees.
func session(cfg *pgx.ConnConfig, name string) {
	for setting, value := range map[string]string{
		"application_name":                    name,
		"lock_timeout":                        "500ms",
		"idle_in_transaction_session_timeout": "1s",
		"statement_timeout":                   "5s",
		"timezone":                            "UTC",
	} {
		if _, set := cfg.RuntimeParams[setting]; !set || setting == "application_name" {
			cfg.RuntimeParams[setting] = value
		}
	}
}

// Slots bound the connections of a pool that may wait for row locks at the same time: prepares of branches, steps of
// sagas, edits. A quarter of the pool stays free for the statements that release such locks. All users of a pool must
// share its Slots: two sets of three quarters each would leave nothing.
type Slots struct {
	pool  *pgxpool.Pool
	taken chan struct{}
}

// NewSlots makes the slots of a pool.
func NewSlots(pool *pgxpool.Pool) *Slots {
	return &Slots{pool: pool, taken: make(chan struct{}, max(1, pool.Config().MaxConns*3/4))}
}

// Acquire waits for a slot and a connection; release gives both back.
func (s *Slots) Acquire(ctx context.Context) (conn *pgxpool.Conn, release func(), err error) {
	select {
	case s.taken <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, Fault("wait for a slot", ctx.Err())
	}
	if conn, err = s.pool.Acquire(ctx); err != nil {
		<-s.taken
		return nil, nil, Fault("connect", err)
	}
	return conn, func() {
		conn.Release() // the pool closes a connection that is not idle
		<-s.taken
	}, nil
}

// InTx is InTx on a connection of a slot.
func (s *Slots) InTx(ctx context.Context, fn func(pgx.Tx) error) error {
	conn, release, err := s.Acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	return InTx(ctx, conn, fn)
}

// Collector shows a pool's state as metrics, read at each scrape.
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
	add("acquire_waits_total", "Acquires that had to wait for a connection.", counter,
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
