package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// rule is an equation within one database. Its statement returns, in words,
// what breaks it.
type rule struct{ database, name, sql string }

// always are the rules that hold at any moment.
var always = []rule{
	{BookDB, "stock is the sum of its movements", `
		select format('book %s has %s, its movements make %s', s.book_id, s.quantity, m.sum)
		from stock s join lateral (select coalesce(sum(delta), 0) as sum from stock_movements where book_id = s.book_id) m on true
		where s.quantity <> m.sum`},
	{PaymentDB, "the payments ledger sums to zero", `
		select format('payment %s: %s', payment_id, sum(cents)) from ledger_entries group by payment_id having sum(cents) <> 0`},
}

// settled are the rules that hold once nothing is under way any more.
var settled = []rule{
	{CoordinatorDB, "every transaction is finished, none heuristic", `
		select format('%s %s is %s (%s)', kind, gid, state, notes) from transactions where finished_at is null or state = 'heuristic'`},
	{CoordinatorDB, "every saga is over", `
		select format('%s %s is %s: %s', definition, id, state, steps) from sagas where finished_at is null`},
	{BookDB, "every change has been announced", `select format('book %s at %s.%s', book_id, version, stock_version) from cache_outbox`},
	{BookDB, "nothing is prepared", prepared},
	{OrderDB, "nothing is prepared", prepared},
	{PaymentDB, "nothing is prepared", prepared},
}

const prepared = `select gid from pg_prepared_xacts where database = current_database()`

// Always returns what breaks an equation that holds at any moment, however much is under way.
func (s *Shop) Always(ctx context.Context) error { return s.judge(ctx, always) }

// Check returns what breaks an equation of the shop at rest, and an error too
// while something is still under way. All equations of services/checkout/README.md are in it.
func (s *Shop) Check(ctx context.Context) error {
	if err := s.judge(ctx, settled); err != nil {
		return err // the books cannot be balanced yet
	}
	if err := s.judge(ctx, always); err != nil {
		return err
	}
	return s.balance(ctx)
}

// Settle waits until Check has nothing to say, or ctx ends.
func (s *Shop) Settle(ctx context.Context) error { return Until(ctx, s.Check) }

func (s *Shop) judge(ctx context.Context, rules []rule) error {
	var broken []error
	for _, r := range rules {
		rows, err := s.DB(r.database).Query(ctx, r.sql)
		var found []string
		if err == nil {
			found, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", r.database, r.name, err)
		}
		if len(found) > 0 {
			broken = append(broken, fmt.Errorf("%s: %s: %s", r.database, r.name, some(found)))
		}
	}
	return errors.Join(broken...)
}

// some shows the first few of many.
func some(found []string) string {
	const most = 5
	if len(found) <= most {
		return strings.Join(found, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(found[:most], "; "), len(found)-most)
}
