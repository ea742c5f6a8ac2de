//go:build drill

package drills

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// warehouseInChaos makes versions of the warehouse all the while that customers buy and give back, prices change,
// books are deleted, and instances, PostgreSQL's leader and the exports themselves are killed. Each version that was
// published is one more reader of the shop: there must be an order of all acknowledged changes of each book in
// which the copies that the version has are right at the time of its cut; so with prices.
func warehouseInChaos(t *testing.T) {
	c, k, x := newCustomers(t), newKeeper(t), &exports{}
	cluster.Warehouse(t, "run")
	c.run(t, append(slices.Clone(disruptions), disruption{"kill the export", 5, killExport}), k.run, x.run)
	cluster.Warehouse(t, "run") // the next carries on
	t.Logf("%d versions, %d exports that failed:\n%s", len(x.published), len(x.failed), strings.Join(x.failed, "\n"))
	if len(x.published) < 3 {
		t.Error("too few versions to mean anything")
	}
	for _, version := range x.published {
		c.reads(t, version)
		k.judge(t, version)
	}
	for _, wrong := range k.wrong {
		t.Error(wrong)
	}
	c.judgeAll(t)
}

// version is one that was published, and when its cut may have been.
type version struct {
	run            string
	earliest, last time.Time
}

// mostHeld is for how long after its time a cut may be (warehouse/cut: the lease).
const mostHeld = 500 * time.Millisecond

// exports makes versions, one after the other.
type exports struct {
	published []version
	failed    []string
}

var publishedRun = regexp.MustCompile(`"msg":"published".*"run":"([^"]+)"`)

func (x *exports) run(ctx context.Context) {
	for ctx.Err() == nil {
		out, err := cluster.TryWarehouse(context.WithoutCancel(ctx), "run")
		if err != nil {
			lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
			x.failed = append(x.failed, "\t"+strings.Join(lines[max(0, len(lines)-2):], " "))
		}
		// Also what was killed after it had published.
		if found := publishedRun.FindStringSubmatch(out); found != nil {
			if at, err := time.Parse("20060102T150405.000000Z", found[1]); err == nil {
				x.published = append(x.published, version{found[1], at, at.Add(mostHeld)})
			}
		}
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
		}
	}
}

// killExport kills a run of the warehouse, if there is one, as a crash would.
func killExport(ctx context.Context, m *injector) (string, error) {
	for range 50 {
		out, err := exec.CommandContext(ctx, "docker", "ps", "--quiet", "--filter", "name=^export-").Output()
		if id := strings.TrimSpace(string(out)); err != nil || id != "" {
			if err == nil {
				shoptest.Rest(ctx, time.Duration(m.random.Int64N(int64(time.Second))))
				err = exec.CommandContext(ctx, "docker", "kill", id).Run() // it may have ended by now
			}
			return "kill the export " + id, err
		}
		shoptest.Rest(ctx, 100*time.Millisecond)
	}
	return "", errors.New("there is none")
}

// reads adds to the history of each book how many copies a version has.
func (c *customers) reads(t *testing.T, v version) {
	t.Helper()
	var found []struct {
		Book   int64 `json:"book_id"`
		Copies int64 `json:"quantity"`
	}
	cluster.Query(t, &found, "--as-of", v.run, "select book_id, quantity from bookdb.stock where book_id in ("+list(c.books)+")")
	if len(found) != len(c.books) {
		t.Errorf("version %s has %d of %d books", v.run, len(found), len(c.books))
	}
	for _, f := range found {
		c.history.add(f.Book, act{kind: "read", seen: f.Copies, who: "warehouse " + v.run, began: v.earliest, ended: v.last})
	}
}

func list(ids []int64) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = strconv.FormatInt(id, 10)
	}
	return strings.Join(texts, ", ")
}

// keeper changes the price of one book after the other, and deletes each in the end.
type keeper struct {
	shop  *shoptest.Client
	books []int64
	edits map[int64][]edit
	wrong []string
}

// edit is a price, or with 0 that the book was deleted, and when that was requested and acknowledged.
type edit struct {
	cents        int64
	began, ended time.Time
}

const (
	keeperBooks = 6
	keeperEdits = 12 // of each
)

func newKeeper(t *testing.T) *keeper {
	t.Helper()
	k := &keeper{shop: shoptest.Shop(t), edits: map[int64][]edit{}}
	for i := range keeperBooks {
		b := k.shop.AddBook(t, fmt.Sprintf("Kept %d", i), 1)
		k.books = append(k.books, b.ID)
		k.edits[b.ID] = []edit{{cents: b.PriceCents}}
	}
	return k
}

func (k *keeper) run(ctx context.Context) {
	for _, id := range k.books {
		path := fmt.Sprintf("/books/%d", id)
		for n := 1; n <= keeperEdits && ctx.Err() == nil; n++ {
			cents := int64(2000 + n)
			// A version that does not fit any more is its own, of a try that was not answered.
			k.edit(id, cents, shoptest.Call{
				Method: "PATCH", Path: path, Body: map[string]any{"priceCents": cents}, Header: map[string]string{"If-Match": fmt.Sprintf(`"%d"`, n)},
			}, http.StatusOK, http.StatusPreconditionFailed)
		}
		k.edit(id, 0, shoptest.Call{Method: "DELETE", Path: path}, http.StatusNoContent, http.StatusGone)
	}
}

// edit makes a call until its outcome is known, for at most chaosDrain.
func (k *keeper) edit(id, cents int64, c shoptest.Call, good ...int) {
	ctx, cancel := context.WithTimeout(context.Background(), chaosDrain)
	defer cancel()
	e := edit{cents: cents, began: time.Now()}
	a, err := k.shop.Persist(ctx, c, shoptest.Inconclusive)
	if err != nil || !slices.Contains(good, a.Status) {
		k.wrong = append(k.wrong, fmt.Sprintf("%s %s: %v %v", c.Method, c.Path, a, err))
		return
	}
	e.ended = time.Now()
	k.edits[id] = append(k.edits[id], e)
	time.Sleep(time.Second)
}

// judge: the version has of each book the last price that was acknowledged before its cut, or one that was on its way.
func (k *keeper) judge(t *testing.T, v version) {
	t.Helper()
	var found []struct {
		ID    int64 `json:"id"`
		Cents int64 `json:"cents"`
	}
	cluster.Query(t, &found, "--as-of", v.run, "select id, if(deleted_at is null, price_cents, 0) as cents from bookdb.books where id in ("+list(k.books)+")")
	if len(found) != len(k.books) {
		t.Errorf("version %s has %d of %d books", v.run, len(found), len(k.books))
	}
	for _, f := range found {
		var may []int64
		for _, e := range k.edits[f.ID] {
			if e.ended.Before(v.earliest) {
				may = nil
			}
			if e.began.Before(v.last) {
				may = append(may, e.cents)
			}
		}
		if !slices.Contains(may, f.Cents) {
			t.Errorf("version %s: book %d costs %d, and may %v", v.run, f.ID, f.Cents, may)
		}
	}
}
