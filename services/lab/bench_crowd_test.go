//go:build bench

package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"bookstore/services/lab"
)

// A crowd of sagas is begun at once: how many, and how often, so that both sizes
// have their p99 of about as many.
const (
	manySagas, manyBursts = 512, 2
	fewSagas, fewBursts   = most, 16
)

// burst begins work of all clients at once and adds up how long each took.
func burst(t *testing.T, y *tally, clients []work) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	start := make(chan struct{})
	took := make([]time.Duration, len(clients))
	var working sync.WaitGroup
	for i, do := range clients {
		working.Go(func() {
			<-start
			began := time.Now()
			if err := do(ctx); err != nil {
				t.Errorf("%s, %d at once: %v", y.name, len(clients), err)
			}
			took[i] = time.Since(began)
		})
	}
	began := time.Now()
	close(start)
	working.Wait()
	y.each, y.took = append(y.each, took...), y.took+time.Since(began)
}

// crowdOfSagas compares sagas of which 512 are begun at once with 32.
func crowdOfSagas(t *testing.T, table *report, f *follower, b *buyer) {
	t.Helper()
	few, many := table.row("sagas begun at once", fewSagas), table.row("sagas begun at once", manySagas)
	for range manyBursts {
		for range fewBursts / manyBursts {
			burst(t, few, f.clients(fewSagas, b))
		}
		burst(t, many, f.clients(manySagas, b))
	}
	figure("saga_p99_512_over_32", "%.2f", float64(many.quantile(.99))/float64(few.quantile(.99)))
	figure("saga_rate_512_over_32", "%.2f", many.rate()/few.rate())
}

// soldOut measures how long buyers wait for their refusal once the last copy of
// a book is gone: from the answer to the last one who got a copy.
func soldOut(t *testing.T, s *lab.Shop, table *report, b *buyer) {
	t.Helper()
	const crowd, copies, bursts = 120, 37, 5
	shelf := newBuyer(strings.TrimPrefix(s.URL(lab.Books), "http://"), "")
	defer shelf.http.CloseIdleConnections()
	refused := table.row("told that it is sold out", crowd)
	for range bursts {
		answer, err := shelf.post("/books", uuid.NewString(),
			fmt.Sprintf(`{"title":"Crowd","authors":["A"],"priceCents":%d,"currency":"EUR","quantity":%d}`, 100, copies), http.StatusCreated)
		var book struct{ ID int }
		if err == nil {
			err = json.Unmarshal(answer, &book)
		}
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var last time.Time
		var told []time.Time
		var buying sync.WaitGroup
		began := time.Now()
		for i := range crowd {
			buying.Go(func() {
				err := b.order(fmt.Sprint("crowd-", i), book.ID)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					last = time.Now()
				case strings.Contains(err.Error(), "out_of_stock"):
					told = append(told, time.Now())
				default:
					t.Error(err)
				}
			})
		}
		buying.Wait()
		if len(told) != crowd-copies {
			t.Errorf("%d of %d were told, want %d", len(told), crowd, crowd-copies)
		}
		for _, at := range told {
			refused.each = append(refused.each, max(0, at.Sub(last)))
		}
		refused.took += time.Since(began)
	}
	figure("sold_out_p99_ms", "%.1f", milliseconds(refused.quantile(.99)))
}
