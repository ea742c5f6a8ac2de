//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// While customers buy, versions are made: each is the whole shop at one cut, or it would not be
// published, and nobody who buys is refused for it. What was bought before is in it.
func TestTheWarehouseIsTheShopAtOneCut(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	c := shoptest.Shop(t)
	book := c.AddBook(t, "In the warehouse", 10)
	l := shoptest.StartEveryday(t)
	l.More(t, "", 200)
	var before int
	for range 2 {
		var ordered struct{ ID string }
		c.Want(t, http.StatusCreated, shoptest.Buy("warehouse", uuid.NewString(), shoptest.OrderItem{BookID: book.ID, Quantity: 1}), &ordered)
		t.Log(cluster.Warehouse(t, "run"))
		var found []struct{ Lines, Copies, Orders int }
		cluster.Query(t, &found, fmt.Sprintf(`select (select count(*) from orderdb.order_items where order_id = '%s') as lines,
			(select quantity from bookdb.stock where book_id = %d) as copies, (select count(*) from orderdb.orders) as orders`, ordered.ID, book.ID))
		if len(found) != 1 || found[0].Lines != 1 || found[0].Copies >= 10 || found[0].Orders <= before {
			t.Errorf("after the order %s and %d orders before: %+v", ordered.ID, before, found)
			continue
		}
		before = found[0].Orders
	}
	l.More(t, "", 200)
	l.RequireNoFailure(t)
	var sales []map[string]any
	if err := json.Unmarshal([]byte(cluster.Warehouse(t, "report", "best-sellers", "--since", "1d", "--format", "json")), &sales); err != nil || len(sales) == 0 {
		t.Errorf("best-sellers: %v, %v", sales, err)
	}
	cluster.RequireNothingInDoubt(t)
}

// TestReportIsNotWrittenWhereItWouldBeLost: only the folder where one is outlives
// the container that answers.
func TestReportIsNotWrittenWhereItWouldBeLost(t *testing.T) {
	for _, args := range [][]string{{"--out", "../x.csv"}, {"-out", "/tmp/x.csv"}, {"--out=a/../../x.csv"}} {
		_, err := cluster.TryWarehouse(t.Context(), append([]string{"report", "best-sellers", "--format", "csv"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), "--out is a file in the folder where you are") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
