package txnpg

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// Warehouse shows as metrics what the warehouse's last version lacks: its exporter writes that into the table cut.
type Warehouse struct {
	pool               *pgxpool.Pool
	missing, unchecked prometheus.Gauge
}

// WarehouseEvery is the pause between two calls of Refresh; warehouseTime bounds one.
const (
	WarehouseEvery = 15 * time.Second
	warehouseTime  = 2 * time.Second
)

// NewWarehouse registers the metrics.
func NewWarehouse(pool *pgxpool.Pool, registry prometheus.Registerer) *Warehouse {
	w := &Warehouse{
		pool: pool,
		missing: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "warehouse_tables_missing",
			Help: "Tables that could not be read at the cut of the warehouse's last version.",
		}),
		unchecked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "warehouse_equations_unchecked",
			Help: "Equations that could not be checked on the warehouse's last version.",
		}),
	}
	registry.MustRegister(w.missing, w.unchecked)
	return w
}

// Refresh reads the table once; lifecycle.Every runs it.
func (w *Warehouse) Refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, warehouseTime)
	defer cancel()
	var missing, unchecked float64
	if err := w.pool.QueryRow(ctx, "SELECT missing, unchecked FROM cut").Scan(&missing, &unchecked); err != nil {
		return err
	}
	w.missing.Set(missing)
	w.unchecked.Set(unchecked)
	return nil
}
