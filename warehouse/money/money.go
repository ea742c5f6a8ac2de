// Package money brings the shop's table of currencies (services/shop/currency) into DuckDB, where reports show amounts
// with the decimals that their currency has.
package money

import (
	"fmt"
	"strings"

	"bookstore/services/shop/currency"
)

// Digits is how many decimals an amount in major units is kept with: as many as the currency that has most of them.
const Digits = 4

// Type is DuckDB's type of an amount in major units. Beside a column named currency it is shown with the decimals of
// that currency.
var Type = fmt.Sprintf("DECIMAL(38,%d)", Digits)

// Decimals is the body of a macro decimals(currency): how many decimals amounts in that currency have. A currency that
// nobody knows has two, as most have.
func Decimals() string {
	codes := make([][]string, Digits+1)
	for _, code := range currency.Codes() {
		n, _ := currency.Exponent(code)
		codes[n] = append(codes[n], "'"+code+"'")
	}
	var b strings.Builder
	b.WriteString("case")
	for n, of := range codes {
		if len(of) > 0 && n != 2 {
			fmt.Fprintf(&b, " when currency in (%s) then %d", strings.Join(of, ", "), n)
		}
	}
	return b.String() + " else 2 end"
}

// Show writes an amount of Type with the decimals of its currency. A digit that is not zero is never left out.
func Show(amount, code string) string {
	n, known := currency.Exponent(code)
	if !known {
		n = 2
	}
	whole, decimals, ok := strings.Cut(amount, ".")
	if !ok {
		return amount
	}
	for len(decimals) > n && decimals[len(decimals)-1] == '0' {
		decimals = decimals[:len(decimals)-1]
	}
	if decimals == "" {
		return whole
	}
	return whole + "." + decimals
}
