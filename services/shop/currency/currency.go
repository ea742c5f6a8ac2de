// Package currency is the shop's table of currencies: those that a price may be in, and how many decimals an amount in each
// has.
//
// The table is ISO 4217's list one as published on 2026-01-01. golang.org/x/text/currency is of 2017: it accepts DEM and TRL,
// lacks MRU and SLE, and has the decimals of CLDR, which differ from those of ISO 4217. When the list changes, change the
// strings below.
package currency

import (
	"slices"
	"strings"
)

// active are the codes with minor units, by their number of decimals. A price may be in any of them, including the codes of
// funds (BOV, CHE, CHW, CLF, COU, MXV, USN, UYI, UYW, XAD). Codes without minor units are left out: metals, bonds, XDR, XSU,
// XUA, XTS and XXX.
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

// withdrawn are codes that left the list in the last ten years. No new price may be in them, but stored amounts may.
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

// Exponent is the number of decimals of the currency with this code: 1 in major units is 10^exponent in minor units. It knows
// active and withdrawn codes. ok is false for any other.
func Exponent(code string) (exponent int, ok bool) {
	if exponent, ok = payable[code]; !ok {
		exponent, ok = historical[code]
	}
	return exponent, ok
}

// Codes are the codes that Exponent knows, in alphabetical order.
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
