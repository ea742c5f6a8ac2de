package lab_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
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
	idleTime    = 5500 * time.Millisecond // in which a shop shows what it says by itself
	doubtLimit  = 3 * time.Second         // from the restart to the end of all doubt
	settleLimit = 20 * time.Second        // until all that was begun is finished, on a busy machine
	runLimit    = 90 * time.Second
)

// site is a shop with a proxy on every wire, and one watch that sees them all.
type site struct {
	shop       *lab.Shop
	watch      *watch
	front      string // where the client asks
	restarting sync.Mutex
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

// crash runs a scenario in which processes die, one after the other; none makes it a clean
// run.
func (s *site) crash(ctx context.Context, what scenario, crashes ...crash) (*sighting, error) {
	var mu sync.Mutex
	var reviving sync.WaitGroup
	var errs []error
	seen := &sighting{targets: crashes}
	seen.kill = func(victim lab.Service) {
		s.shop.Kill(victim)
		last := seen.happened()
		reviving.Go(func() {
			err := s.revive(ctx, victim)
			if err == nil && last {
				err = s.noDoubt(ctx)
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	err := s.run(ctx, what, seen)
	reviving.Wait()
	return seen, errors.Join(append(errs, err)...)
}

// run is one run of a scenario with data of its own, from what it needs to a shop at rest.
func (s *site) run(ctx context.Context, what scenario, seen *sighting) error {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	v := &visit{site: s, key: "crash-" + uuid.NewString()}
	err := v.arrive(ctx, what.stock)
	if err == nil {
		err = v.in(ctx, what.given)
	}
	if err == nil {
		err = s.settle(ctx)
	}
	if err != nil {
		return fmt.Errorf("before the scenario: %w", err)
	}
	s.watch.begin(seen, v.key)
	err = v.in(ctx, what.when)
	if err == nil {
		err = s.settle(ctx)
	}
	s.watch.end()
	if err == nil {
		err = v.in(ctx, what.then)
	}
	return err
}

func (s *site) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	if err := s.shop.Settle(ctx); err != nil {
		return fmt.Errorf("not settled within %s: %w", settleLimit, err)
	}
	return nil
}

// revive returns when a process is there again, whoever starts it: it may be killed a
// second time before it is up.
func (s *site) revive(ctx context.Context, name lab.Service) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	if err := s.restart(name); err != nil {
		return err
	}
	return s.shop.Ready(ctx, name)
}

func (s *site) restart(name lab.Service) error {
	s.restarting.Lock()
	defer s.restarting.Unlock()
	if s.shop.Running(name) {
		return nil
	}
	return s.shop.Restart(name)
}

// noDoubt holds the shop, whole again, to it that what is prepared now is not for long.
func (s *site) noDoubt(ctx context.Context) error {
	left, err := s.prepared(ctx)
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, doubtLimit)
	defer cancel()
	return lab.Until(limit, func(context.Context) error {
		now, err := s.prepared(ctx)
		if err != nil {
			return err
		}
		if old := slices.DeleteFunc(now, func(gid string) bool { return !slices.Contains(left, gid) }); len(old) > 0 {
			return fmt.Errorf("%s after all was there again these are still prepared: %v", doubtLimit, old)
		}
		return nil
	})
}

func (s *site) prepared(ctx context.Context) ([]string, error) {
	rows, err := s.shop.DB(lab.BookDB).Query(ctx, "select gid from pg_prepared_xacts order by gid")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
