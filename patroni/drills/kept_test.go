//go:build drill

package drills

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// lost counts the acknowledged orders that the shop does not show as it acknowledged them.
func (c *customer) lost(ctx context.Context) (int, error) {
	var lost atomic.Int64
	var asking sync.WaitGroup
	slots := make(chan struct{}, 8)
	for path, acked := range c.acked {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			status, text, err := c.call(ctx, http.MethodGet, path, nil, nil)
			if err != nil || status != http.StatusOK || !sameJSON(text, acked) {
				lost.Add(1)
			}
		})
	}
	asking.Wait()
	return int(lost.Load()), nil
}

func sameJSON(a, b []byte) bool {
	var one, other any
	return json.Unmarshal(a, &one) == nil && json.Unmarshal(b, &other) == nil && reflect.DeepEqual(one, other)
}

// doubt is how long after a drill a transaction may still be between its two phases.
const doubt = 5 * time.Second

// half counts what is half done: transactions that nobody finished in time, orders beside
// those that were acknowledged, books whose stock does not agree with their ledger or with
// the orders.
func (s *scene) half(ctx context.Context) (count int, err error) {
	unfinished := -1
	err = poll(ctx, doubt, func(ctx context.Context) error {
		if unfinished, err = s.unfinished(ctx); err == nil && unfinished > 0 {
			err = errors.New("some are in doubt")
		}
		return err
	})
	if unfinished < 0 {
		return 0, err
	}
	ledger, err := s.number(ctx, "bookdb", `select count(*) from stock s
		left join (select book_id, sum(delta) as moved from stock_movements group by book_id) m using (book_id)
		where s.quantity <> coalesce(m.moved, 0)`)
	if err != nil {
		return 0, err
	}
	stored, err := s.number(ctx, "orderdb", "select count(*) from orders where customer_id = $1", s.load.customer.name)
	if err != nil {
		return 0, err
	}
	sold, err := s.number(ctx, "orderdb", `select coalesce(sum(i.quantity), 0) from order_items i
		join orders o on o.id = i.order_id where o.customer_id = $1`, s.load.customer.name)
	if err != nil {
		return 0, err
	}
	left, err := s.number(ctx, "bookdb", "select sum(quantity) from stock where book_id = any($1)", s.load.customer.ordered)
	if err != nil {
		return 0, err
	}
	beside := max(0, stored-len(s.load.customer.acked)-s.load.customer.unsettled)
	return unfinished + ledger + beside + abs(len(s.load.customer.ordered)*copies-left-sold), nil
}

func abs(n int) int { return max(n, -n) }

// unfinished counts prepared transactions, and those that a coordinator still has to do with.
func (s *scene) unfinished(ctx context.Context) (int, error) {
	count, err := s.number(ctx, "postgres", "select count(*) from pg_prepared_xacts")
	if err != nil {
		return 0, err
	}
	for _, state := range []string{"preparing", "committing", "heuristic"} {
		text, err := s.visitor.operatorGet(ctx, "/transactions?state="+state)
		if err != nil {
			return 0, err
		}
		var list struct{ Items []struct{ GID string } }
		if err := json.Unmarshal(text, &list); err != nil {
			return 0, fmt.Errorf("%w in %s", err, text)
		}
		count += len(list.Items)
	}
	return count, nil
}

// number asks the leader for one.
func (s *scene) number(ctx context.Context, database, sql string, args ...any) (n int, err error) {
	conn, err := s.load.writers.access.leader(ctx, database)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, sql, args...).Scan(&n)
	return n, err
}
