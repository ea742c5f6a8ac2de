package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"bookstore/services/shop/invariants"
)

// Always returns what breaks an equation that holds at any moment, however much is under way:
// those of one database.
func (s *Shop) Always(ctx context.Context) error {
	var broken []error
	for _, e := range invariants.Always() {
		if e.Database() != "" {
			broken = append(broken, s.holds(ctx, e))
		}
	}
	return errors.Join(broken...)
}

// Check returns what breaks an equation of the shop at rest, and an error too while something is
// still under way.
func (s *Shop) Check(ctx context.Context) error {
	if err := s.nothingPrepared(ctx); err != nil {
		return err
	}
	// The first of them say that nothing is under way: before that the books cannot be balanced.
	for _, e := range slices.Concat(invariants.AtRest(), invariants.Always()) {
		if err := s.holds(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// Settle waits until Check has nothing to say, or ctx ends.
func (s *Shop) Settle(ctx context.Context) error { return Until(ctx, s.Check) }

// nothingPrepared is nil when no database has a prepared transaction.
func (s *Shop) nothingPrepared(ctx context.Context) error {
	for _, name := range []string{BookDB, OrderDB, PaymentDB, CoordinatorDB} {
		err := s.none(ctx, name, "nothing is prepared", `select gid from pg_prepared_xacts where database = current_database()`)
		if err != nil {
			return err
		}
	}
	return nil
}

// holds asks an equation of its one database, or of the one that sees all.
func (s *Shop) holds(ctx context.Context, e invariants.Equation) error {
	name := e.Database()
	if name == "" {
		name = allDB
	}
	return s.none(ctx, name, e.Name, e.PostgreSQL())
}

// none is nil when a statement returns no row; each says in words what is wrong.
func (s *Shop) none(ctx context.Context, database, name, sql string) error {
	rows, err := s.DB(database).Query(ctx, sql)
	var found []string
	if err == nil {
		found, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", database, name, err)
	}
	if len(found) > 0 {
		return fmt.Errorf("%s: not true: %s: %s", database, name, some(found))
	}
	return nil
}

// some shows the first few of many.
func some(found []string) string {
	const most = 5
	if len(found) <= most {
		return strings.Join(found, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(found[:most], "; "), len(found)-most)
}
