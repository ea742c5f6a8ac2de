package twophase_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txntest"
)

// silentStore answers the first read of a key, and no other in time.
type silentStore struct {
	twophase.Store
	reads atomic.Int32
}

func (s *silentStore) Latest(ctx context.Context, caller, key string) (*twophase.Latest, error) {
	if s.reads.Add(1) > 1 {
		<-ctx.Done()
		return nil, fault.Wrap("read", ctx.Err())
	}
	return s.Store.Latest(ctx, caller, key)
}

// A request that waits for another under its key says so when its time is up, also when
// that is in the middle of a read.
func TestARequestThatWaitsForAnotherSaysSo(t *testing.T) {
	t.Parallel()
	settings := twophase.DefaultSettings("one")
	planning := make(chan struct{})
	engine, err := twophase.New(twophase.Dependencies{
		Store: &silentStore{Store: txntest.NewMemory(settings, time.Now)}, Metrics: twophase.NewMetrics(prometheus.NewRegistry()),
		Log: slog.New(slog.DiscardHandler),
	}, settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	run := func(ctx context.Context) error {
		_, err := engine.Run(ctx, twophase.Request{
			Claim: twophase.Claim{Kind: "transfer", Caller: "c", Key: "k", Branches: []string{"left", "right"}, Payload: []byte("{}")},
			Plan: func(ctx context.Context, _ twophase.Transaction) (twophase.Work, error) {
				close(planning)
				<-ctx.Done()
				return twophase.Work{}, fault.Wrap("plan", ctx.Err())
			},
		})
		return err
	}
	first, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(first) }()
	<-planning
	second, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := run(second); fault.KindOf(err) != fault.InProgress {
		t.Errorf("got %v", err)
	}
	end()
	<-ended
	if err := engine.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
