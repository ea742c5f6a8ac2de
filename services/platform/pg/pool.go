package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// Open makes a pool of connections to the leader. It needs no server to be
// there yet: connections are made when asked for, each to whichever member
// takes writes at that moment. name shows as application_name and as the
// pool's label; reg may be nil.
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

// session sets what holds for every connection of a service. Time-outs make
// sure that no abandoned or frozen client holds a lock for long. Nothing here
// touches synchronous_commit, and nothing may.
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
