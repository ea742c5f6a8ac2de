package currency_test

import (
	"regexp"
	"slices"
	"testing"

	"bookstore/services/shop/currency"
)

// The list of 2026-01-01 has 178 codes, 13 of them without minor units.
const payableCodes = 178 - 13

func TestTheTableHasEveryActiveCodeOnce(t *testing.T) {
	codes := currency.Codes()
	if len(slices.Compact(slices.Clone(codes))) != len(codes) {
		t.Error("a code is both active and withdrawn")
	}
	payable := 0
	for _, code := range codes {
		if !regexp.MustCompile(`^[A-Z]{3}$`).MatchString(code) {
			t.Errorf("%q is no code", code)
		}
		if _, ok := currency.Exponent(code); !ok {
			t.Errorf("%s has no exponent", code)
		}
		if currency.Payable(code) {
			payable++
		}
	}
	if payable != payableCodes {
		t.Errorf("%d codes can be paid in, want %d", payable, payableCodes)
	}
}

func TestExponentsAreThoseOfTheList(t *testing.T) {
	for code, want := range map[string]int{
		"EUR": 2, "USD": 2, "MRU": 2, "MGA": 2, "SLE": 2, "ZWG": 2, "XCG": 2, "VED": 2, "VES": 2, "STN": 2, "BYN": 2,
		"HUF": 2, "IDR": 2, "LBP": 2, "TWD": 2, "CZK": 2, "AFN": 2, "IRR": 2, "COP": 2, "MMK": 2, "SOS": 2, "XAD": 2,
		"JPY": 0, "KRW": 0, "ISK": 0, "CLP": 0, "XAF": 0, "XOF": 0, "XPF": 0, "VND": 0, "UGX": 0, "UYI": 0, "PYG": 0,
		"KWD": 3, "BHD": 3, "TND": 3, "JOD": 3, "OMR": 3, "LYD": 3, "IQD": 3,
		"CLF": 4, "UYW": 4,
	} {
		if got, ok := currency.Exponent(code); !ok || got != want || !currency.Payable(code) {
			t.Errorf("%s: got %d, %t, payable %t; want %d", code, got, ok, currency.Payable(code), want)
		}
	}
}

func TestNobodyPaysInWhatIsNoMoneyOrWithdrawn(t *testing.T) {
	for _, code := range []string{
		"XXX", "XTS", "XAU", "XAG", "XPD", "XPT", "XDR", "XSU", "XUA", "XBA", "XBB", "XBC", "XBD",
		"DEM", "FRF", "TRL", "HRK", "BGN", "SLL", "ZWL", "ANG", "CUC", "MRO", "STD", "VEF", "BYR", "LTL", "EEK",
		"", "eur", "Eur", "EU", "EURO", " EUR", "ZZZ", "BTC", "978", "ЕUR",
	} {
		if currency.Payable(code) {
			t.Errorf("%q can be paid in", code)
		}
	}
}

func TestAmountsOfWithdrawnCurrenciesCanBeShown(t *testing.T) {
	for code, want := range map[string]int{"HRK": 2, "BGN": 2, "BYR": 0} {
		if got, ok := currency.Exponent(code); !ok || got != want {
			t.Errorf("%s: got %d, %t, want %d", code, got, ok, want)
		}
	}
	if _, ok := currency.Exponent("XAU"); ok {
		t.Error("gold has no decimals in the list")
	}
}
