package money_test

import (
	"database/sql"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"

	"bookstore/services/shop/currency"
	"bookstore/warehouse/money"
)

// DuckDB and Go say the same of each currency that there is, and of one that is none.
func TestDecimalsAreThoseOfTheShop(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "create temp macro decimals(currency) as "+money.Decimals()); err != nil {
		t.Fatal(err)
	}
	seen := map[int]int{}
	for _, code := range append(currency.Codes(), "???") {
		want, known := currency.Exponent(code)
		if !known {
			want = 2
		}
		var got int
		if err := db.QueryRowContext(t.Context(), "select decimals(?)", code).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %d, not %d: %v", code, got, want, err)
		}
		seen[got]++
		if want > money.Digits {
			t.Errorf("%s has more than %d decimals", code, money.Digits)
		}
	}
	if len(seen) != 4 {
		t.Errorf("currencies by decimals: %v", seen)
	}
}

func TestAmountsHaveTheDecimalsOfTheirCurrency(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ amount, currency, want string }{
		{"1.2340", "KWD", "1.234"}, {"1.2000", "BHD", "1.200"}, {"0.0001", "CLF", "0.0001"}, {"7.0000", "CLF", "7.0000"},
		{"2700.0000", "JPY", "2700"}, {"-7.0000", "EUR", "-7.00"}, {"0.0000", "EUR", "0.00"}, {"100.0000", "JPY", "100"},
		{"1.2345", "EUR", "1.2345"}, {"0.5000", "JPY", "0.5"}, {"1.0000", "???", "1.00"}, {"12", "EUR", "12"},
	} {
		if got := money.Show(c.amount, c.currency); got != c.want {
			t.Errorf("%s %s is %s, not %s", c.amount, c.currency, got, c.want)
		}
	}
}
