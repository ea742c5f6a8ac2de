// Package equations holds what must be true of the shop at any cut, whatever is under way
// (services/checkout/README.md, "What balances"). A version of the warehouse of which one is not true is not published.
package equations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"bookstore/services/shop/invariants"

	"github.com/duckdb/duckdb-go/v2"
)

// shown bounds how much of what breaks an equation is told.
const shown = 5

// Check returns what breaks the equations, all of them at once. Missing are tables that are not as of the same cut as the
// others: what needs one of them is unchecked, and so is what cannot be queried with the tables as they are.
func Check(ctx context.Context, duck *sql.DB, missing []string) (unchecked []string, err error) {
	var broken []error
	for _, e := range invariants.Always() {
		if without := without(e, missing); len(without) > 0 {
			unchecked = append(unchecked, e.Name+": it needs "+strings.Join(without, ", "))
			continue
		}
		found, n, err := find(ctx, duck, e)
		switch {
		case notQueryable(err):
			unchecked = append(unchecked, fmt.Sprintf("%s: %v", e.Name, err))
		case err != nil:
			return nil, fmt.Errorf("check whether %s: %w", e.Name, err)
		case n > len(found):
			broken = append(broken, fmt.Errorf("not true: %s: %s; and %d more", e.Name, strings.Join(found, "; "), n-len(found)))
		case n > 0:
			broken = append(broken, fmt.Errorf("not true: %s: %s", e.Name, strings.Join(found, "; ")))
		}
	}
	return unchecked, errors.Join(broken...)
}

// without are those of the missing tables that the equation needs.
func without(e invariants.Equation, missing []string) (needed []string) {
	for _, name := range e.Tables() {
		if slices.Contains(missing, name) {
			needed = append(needed, name)
		}
	}
	return needed
}

// notQueryable tells whether a statement does not fit the tables: one is not there, or has other columns.
func notQueryable(err error) bool {
	var failed *duckdb.Error
	return errors.As(err, &failed) && slices.Contains([]duckdb.ErrorType{
		duckdb.ErrorTypeCatalog, duckdb.ErrorTypeBinder, duckdb.ErrorTypeConversion, duckdb.ErrorTypeInvalidInput,
	}, failed.Type)
}

func find(ctx context.Context, duck *sql.DB, e invariants.Equation) (found []string, n int, err error) {
	rows, err := duck.QueryContext(ctx, fmt.Sprintf("select text, count(*) over () from (%s) broken (text) limit %d", e.DuckDB(), shown))
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close() //nolint:errcheck // its error is the last one
	for rows.Next() {
		var text string
		if err := rows.Scan(&text, &n); err != nil {
			return nil, 0, err
		}
		found = append(found, text)
	}
	return found, n, rows.Err()
}
