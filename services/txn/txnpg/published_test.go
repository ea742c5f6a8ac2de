package txnpg_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"bookstore/services/txn/txnpg"
)

// What an exporter says of its version is what Prometheus reads, until the next version.
func TestTheWarehouseIsMeasured(t *testing.T) {
	t.Parallel()
	f := open(t)
	registry := prometheus.NewRegistry()
	w := txnpg.NewWarehouse(f.pool, registry)
	for _, c := range []struct {
		published string
		want      string
	}{{"select", "0 0"}, {"select cut_published(2, 5)", "2 5"}, {"select cut_published(0, 0)", "0 0"}} {
		if _, err := f.pool.Exec(t.Context(), c.published); err != nil {
			t.Fatal(err)
		}
		if err := w.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		missing, unchecked, _ := strings.Cut(c.want, " ")
		want := "# HELP warehouse_equations_unchecked Equations that could not be checked on the warehouse's last version.\n" +
			"# TYPE warehouse_equations_unchecked gauge\nwarehouse_equations_unchecked " + unchecked + "\n" +
			"# HELP warehouse_tables_missing Tables that could not be read at the cut of the warehouse's last version.\n" +
			"# TYPE warehouse_tables_missing gauge\nwarehouse_tables_missing " + missing + "\n"
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
			t.Errorf("after %s: %v", c.published, err)
		}
	}
}
