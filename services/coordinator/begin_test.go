package coordinator_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/coordinator"
	"bookstore/services/coordinator/coordinatortest"
	"bookstore/services/platform/fault"
)

// silentStore answers the first look under a key, and no other in time.
type silentStore struct {
	coordinator.Store
	looks atomic.Int32
}

func (s *silentStore) Latest(ctx context.Context, caller, key string) (*coordinator.Latest, error) {
	if s.looks.Add(1) > 1 {
		<-ctx.Done()
		return nil, fault.Wrap("look", ctx.Err())
	}
	return s.Store.Latest(ctx, caller, key)
}

// silentQuoter never tells a price.
type silentQuoter struct{ asked chan struct{} }

func (q silentQuoter) Quote(ctx context.Context, _ []int64) ([]coordinator.Quote, error) {
	close(q.asked)
	<-ctx.Done()
	return nil, fault.Wrap("quote", ctx.Err())
}

// A request that waits for another under its key says so when its time is up, also when
// that is in the middle of a look.
func TestARequestThatWaitsForAnotherSaysSo(t *testing.T) {
	t.Parallel()
	settings := coordinator.DefaultSettings("one")
	quotes := silentQuoter{make(chan struct{})}
	service, err := coordinator.New(coordinator.Dependencies{
		Store: &silentStore{Store: coordinatortest.NewMemory(settings, time.Now)}, Quotes: quotes,
		Clock: time.Now, NewID: newID, Metrics: coordinator.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	}, settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	place := func(ctx context.Context) error {
		_, err := service.PlaceOrder(ctx, coordinator.PlaceOrder{Key: "k", Request: coordinator.OrderRequest{
			CustomerID: "c", Items: []coordinator.RequestItem{{BookID: 1, Quantity: 1}},
		}})
		return err
	}
	first, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- place(first) }()
	<-quotes.asked
	second, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := place(second); fault.KindOf(err) != fault.InProgress {
		t.Errorf("got %v", err)
	}
	end()
	<-ended
	if err := service.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
