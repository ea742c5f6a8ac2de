package lab_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"bookstore/services/lab"
)

// processes are those that are killed.
var processes = []lab.Service{lab.Books, lab.Orders, lab.Payments, lab.Coordinator}

// client is the one who asks; it is never killed.
const client = "client"

// The times of a run.
const (
	idleTime    = 3 * time.Second  // in which a shop shows what it says by itself
	doubtLimit  = 3 * time.Second  // from the restart to the end of all doubt
	settleLimit = 20 * time.Second // until all that was begun is finished, on a busy machine
	runLimit    = 90 * time.Second
)

// site is a shop with a proxy on every wire, and one watch that sees them all.
type site struct {
	shop  *lab.Shop
	watch *watch
	front string // where the client asks
}

// newSite starts a site; it is learning.
func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{watch: newWatch()}
	s.shop = lab.Start(t, lab.Options{Services: processes, Via: func(l lab.Link, target string) string {
		between := link{string(l.From), l.To}
		if slices.Contains(processes, lab.Service(l.To)) {
			return newHop(t, between, target, s.watch.hold)
		}
		return newWire(t, between, target, s.watch.hold)
	}})
	coordinator := strings.TrimPrefix(s.shop.URL(lab.Coordinator), "http://")
	s.front = "http://" + newHop(t, link{client, string(lab.Coordinator)}, coordinator, s.watch.hold)
	return s
}

// clean runs a scenario in which nobody dies and returns its points.
func (s *site) clean(ctx context.Context, what scenario) ([]point, error) {
	seen := &sighting{}
	_, err := s.run(ctx, what, seen)
	return seen.points, err
}

// crash runs a scenario in which one process dies; false means that it came to its end
// without the message at which it should have.
func (s *site) crash(ctx context.Context, what scenario, c crash) (acted bool, err error) {
	died := make(chan struct{})
	whole := make(chan error, 1)
	over, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-died:
			whole <- s.revive(ctx, c.victim)
		case <-over.Done():
			whole <- nil
		}
	}()
	acted, err = s.run(ctx, what, &sighting{target: c, act: func() { s.shop.Kill(c.victim); close(died) }})
	cancel()
	return acted, errors.Join(err, <-whole)
}

// run is one run of a scenario with data of its own, from what it needs to a shop at rest.
func (s *site) run(ctx context.Context, what scenario, seen *sighting) (acted bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	v := &visit{site: s, key: "crash-" + uuid.NewString()}
	if err := v.arrive(ctx, what.stock); err != nil {
		return false, fmt.Errorf("before the scenario: %w", err)
	}
	err = v.in(ctx, what.given)
	if err == nil {
		err = s.settle(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("before the scenario: %w", err)
	}
	s.watch.begin(seen, v.key)
	err = v.in(ctx, what.when)
	if err == nil {
		err = s.settle(ctx)
	}
	acted = s.watch.end()
	if err == nil {
		err = v.in(ctx, what.then)
	}
	return acted, err
}

func (s *site) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	if err := s.shop.Settle(ctx); err != nil {
		return fmt.Errorf("not settled within %s: %w", settleLimit, err)
	}
	return nil
}

// revive starts a process again and holds the shop to it that what it left prepared is
// gone in time.
func (s *site) revive(ctx context.Context, name lab.Service) error {
	if err := s.shop.Restart(name); err != nil {
		return err
	}
	if err := s.shop.Ready(ctx, name); err != nil {
		return err
	}
	left, err := s.prepared(ctx)
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, doubtLimit)
	defer cancel()
	err = lab.Until(limit, func(context.Context) error {
		now, err := s.prepared(ctx)
		if err != nil {
			return err
		}
		if old := slices.DeleteFunc(now, func(gid string) bool { return !slices.Contains(left, gid) }); len(old) > 0 {
			return fmt.Errorf("%s after %s was there again these are prepared still: %v", doubtLimit, name, old)
		}
		return nil
	})
	return err
}

func (s *site) prepared(ctx context.Context) ([]string, error) {
	rows, err := s.shop.DB(lab.BookDB).Query(ctx, "select gid from pg_prepared_xacts order by gid")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
