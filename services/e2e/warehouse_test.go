//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"bookstore/services/shoptest"
)

// While customers buy, versions are made: each is the whole shop at one cut, or it would not be
// published, and nobody who buys is refused for it. What was bought before is in it.
func TestTheWarehouseIsTheShopAtOneCut(t *testing.T) {
	waitHealthy(t, 2, services...)
	c := shoptest.Shop(t)
	book := c.AddBook(t, "In the warehouse", 10)
	l := startLoad(t, besideOthers)
	l.more(t, 200)
	var before int
	for range 2 {
		var ordered struct{ ID string }
		c.Want(t, http.StatusCreated, shoptest.Buy("warehouse", uuid.NewString(), shoptest.OrderItem{BookID: book.ID, Quantity: 1}), &ordered)
		t.Log(warehouse(t, "run"))
		var found []struct{ Lines, Copies, Orders int }
		ask(t, &found, fmt.Sprintf(`select (select count(*) from orderdb.order_items where order_id = '%s') as lines,
			(select quantity from bookdb.stock where book_id = %d) as copies, (select count(*) from orderdb.orders) as orders`, ordered.ID, book.ID))
		if len(found) != 1 || found[0].Lines != 1 || found[0].Copies >= 10 || found[0].Orders <= before {
			t.Errorf("after the order %s and %d orders before: %+v", ordered.ID, before, found)
			continue
		}
		before = found[0].Orders
	}
	l.more(t, 200)
	l.requireNoFailure(t)
	var sales []map[string]any
	if err := json.Unmarshal([]byte(warehouse(t, "report", "best-sellers", "--since", "1d", "--format", "json")), &sales); err != nil || len(sales) == 0 {
		t.Errorf("best-sellers: %v, %v", sales, err)
	}
	requireNothingInDoubt(t)
}

// ask reads rows from the published version, or another: flags come before the statement.
func ask(t *testing.T, into any, args ...string) {
	t.Helper()
	if text := warehouse(t, append([]string{"sql", "--format", "json"}, args...)...); json.Unmarshal([]byte(text), into) != nil {
		t.Errorf("%q: %s", args, text)
	}
}

// TestReportIsNotWrittenWhereItWouldBeLost: only the folder where one is outlives
// the container that answers.
func TestReportIsNotWrittenWhereItWouldBeLost(t *testing.T) {
	for _, args := range [][]string{{"--out", "../x.csv"}, {"-out", "/tmp/x.csv"}, {"--out=a/../../x.csv"}} {
		_, err := tryWarehouse(t.Context(), append([]string{"report", "best-sellers", "--format", "csv"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), "--out is a file in the folder where you are") {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// warehouse runs what the tasks of the warehouse run.
func warehouse(t *testing.T, args ...string) string {
	t.Helper()
	out, err := tryWarehouse(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryWarehouse(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "bash", append([]string{"../../vagrant/provision/warehouse.sh"}, args...)...)
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%q: %w\n%s%s", args, err, out, &stderr)
	}
	return string(out), err
}
