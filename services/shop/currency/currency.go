// Package currency is the shop's one table of currencies: in which ones a
// price may be set, and how many decimals an amount in each has.
//
// The table is ISO 4217's list one as published on 2026-01-01. It stands here
// because golang.org/x/text/currency is of 2017: it takes DEM and TRL, knows
// neither MRU nor SLE, and gives the decimals of CLDR, which are not those of
// ISO 4217. A change of the list is a change of the strings below.
package currency

import (
	"slices"
	"strings"
)

// active are the codes of the list that have minor units, by how many decimals
// these are. All of them can be paid in, the codes of funds (BOV, CHE, CHW, CLF,
// COU, MXV, USN, UYI, UYW, XAD) too: contracts are written in them, and the list
// says how an amount in them is counted. The codes without minor units are left
// out: metals, bonds, XDR, XSU, XUA, XTS and XXX count no money.
var active = [...]string{
	0: `BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF`,
	2: `AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
		CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP
		GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK
		LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO
		NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS
		SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST
		XAD XCD XCG YER ZAR ZMW ZWG`,
	3: `BHD IQD JOD KWD LYD OMR TND`,
	4: `CLF UYW`,
}

// withdrawn are codes that left the list in the last ten years. Nobody sets a
// price in them any more, but amounts of that time may be stored.
var withdrawn = [...]string{
	0: `BYR`,
	2: `ANG BGN CUC HRK MRO SLL STD VEF ZWL`,
}

var (
	payable    = exponents(active[:])
	historical = exponents(withdrawn[:])
)

func exponents(lists []string) map[string]int {
	byCode := map[string]int{}
	for exponent, codes := range lists {
		for code := range strings.FieldsSeq(codes) {
			byCode[code] = exponent
		}
	}
	return byCode
}

// Payable reports whether a price may be set in the currency of this code.
func Payable(code string) bool {
	_, ok := payable[code]
	return ok
}

// Exponent is the number of decimals of an amount in the currency of this code:
// 1 in major units is 10^exponent in minor units. ok is false for a code that
// is not known, such as of a unit that has no decimals defined; a code that was
// withdrawn lately is known.
func Exponent(code string) (exponent int, ok bool) {
	if exponent, ok = payable[code]; !ok {
		exponent, ok = historical[code]
	}
	return exponent, ok
}

// Codes are all codes that Exponent knows, in alphabetical order.
func Codes() []string {
	codes := make([]string, 0, len(payable)+len(historical))
	for code := range payable {
		codes = append(codes, code)
	}
	for code := range historical {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return codes
}
