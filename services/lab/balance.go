package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"
)

// lines are copies by book.
type lines map[int64]int64

// account is all that the databases say about orders, read when nothing changes.
type account struct {
	status   map[string]string // of each order
	sold     map[string]lines  // of each order
	moved    map[string]lines  // net, by gid or saga
	paid     map[string]string // state of each order's payment
	commits  []commit
	sagas    []saga
	problems []error
}

// commit is a two-phase commit that is committed.
type commit struct{ gid, kind, order string }

// balance holds what the databases say against each other: per committed gid
// and per saga that stands the movements are its order's lines, no movement
// belongs to anything else, what left the shelves is what was sold, and money
// was taken for it.
func (s *Shop) balance(ctx context.Context) error {
	a := &account{status: map[string]string{}, sold: map[string]lines{}, moved: map[string]lines{}, paid: map[string]string{}}
	if err := a.read(ctx, s); err != nil {
		return err
	}
	a.commitsMoveTheirLines()
	a.sagasMoveTheirLines()
	for key, moved := range a.moved {
		a.problemf("%s is neither a commit nor a saga that stands, and moved %v", key, moved)
	}
	a.copiesAreSoldOrThere(ctx, s)
	return errors.Join(a.problems...)
}

func (a *account) problemf(format string, args ...any) {
	const most = 10
	if len(a.problems) < most {
		a.problems = append(a.problems, fmt.Errorf(format, args...))
	}
}

func (a *account) read(ctx context.Context, s *Shop) error {
	var order, status, key string
	var book, copies int64
	return errors.Join(
		each(ctx, s, OrderDB, "select id::text, status from orders", []any{&order, &status}, func() {
			a.status[order], a.sold[order] = status, lines{}
		}),
		each(ctx, s, OrderDB, "select order_id::text, book_id, quantity from order_items", []any{&order, &book, &copies}, func() {
			a.sold[order][book] += copies
		}),
		each(ctx, s, BookDB, `select coalesce(gid, saga), book_id, sum(delta)::bigint from stock_movements
			where coalesce(gid, saga) is not null group by 1, 2 having sum(delta) <> 0`, []any{&key, &book, &copies}, func() {
			if a.moved[key] == nil {
				a.moved[key] = lines{}
			}
			a.moved[key][book] = copies
		}),
		each(ctx, s, CoordinatorDB, "select gid, kind, payload->>'orderId' from transactions where state = 'committed'", []any{&key, &status, &order}, func() {
			a.commits = append(a.commits, commit{key, status, order})
		}),
		a.readSagas(ctx, s),
	)
}

func each(ctx context.Context, s *Shop, database, sql string, into []any, do func()) error {
	rows, err := s.DB(database).Query(ctx, sql)
	if err == nil {
		_, err = pgx.ForEachRow(rows, into, func() error { do(); return nil })
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", database, err)
	}
	return nil
}

// commitsMoveTheirLines: a place takes its order's lines from the shelves, a
// cancel puts them back, each order is placed once and cancelled once at most.
func (a *account) commitsMoveTheirLines() {
	placed, cancelled := map[string]string{}, map[string]string{}
	for _, c := range a.commits {
		sold, there := a.sold[c.order]
		if !there {
			a.problemf("%s %s is committed, and there is no order %s", c.kind, c.gid, c.order)
			continue
		}
		done, sign := placed, int64(-1)
		if c.kind == "cancel_order" {
			done, sign = cancelled, 1
		}
		if other, twice := done[c.order]; twice {
			a.problemf("order %s: %s twice, %s and %s", c.order, c.kind, other, c.gid)
		}
		done[c.order] = c.gid
		if want := sold.times(sign); !maps.Equal(a.moved[c.gid], want) {
			a.problemf("%s %s of order %s moved %v, its lines are %v", c.kind, c.gid, c.order, a.moved[c.gid], want)
		}
		delete(a.moved, c.gid)
	}
	for order, status := range a.status {
		switch {
		case status == "placed" && placed[order] == "":
			a.problemf("order %s is placed, and no transaction placed it", order)
		case placed[order] != "" && (status == "cancelled") != (cancelled[order] != ""):
			a.problemf("order %s is %s; its cancel is %q", order, status, cancelled[order])
		}
	}
}

func (l lines) times(n int64) lines {
	out := lines{}
	for book, copies := range l {
		out[book] = n * copies
	}
	return out
}

// copiesAreSoldOrThere: whoever moved them, copies that left are in an order
// that stands, and all others are on the shelf.
func (a *account) copiesAreSoldOrThere(ctx context.Context, s *Shop) {
	left := lines{}
	var book, copies int64
	err := each(ctx, s, BookDB, `select book_id, -sum(delta)::bigint from stock_movements
		where cause not in ('initial', 'adjust') group by book_id having sum(delta) <> 0`, []any{&book, &copies}, func() { left[book] = copies })
	if err != nil {
		a.problems = append(a.problems, err)
		return
	}
	sold := lines{}
	for order, of := range a.sold {
		if status := a.status[order]; status == "placed" || status == "paid" {
			for book, copies := range of {
				sold[book] += copies
			}
		}
	}
	for book, copies := range sold {
		if left[book] != copies {
			a.problemf("book %d: %d copies left, %d are in orders that stand", book, left[book], copies)
		}
		delete(left, book)
	}
	for book, copies := range left {
		a.problemf("book %d: %d copies left, and no order that stands has any", book, copies)
	}
}
