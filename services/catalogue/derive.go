package catalogue

// Currency of the derived prices, ISO 4217.
const Currency = "EUR"

// PriceCents invents a price for a book, since catalogue files have none: 4.99 to 39.99 in
// whole steps, the same for one source id on every machine and in every run.
func PriceCents(sourceID string) int64 {
	return 499 + 100*int64(hash64("price/"+sourceID)%36)
}

// Quantity invents the copies in stock at the first load: 20 to 119.
func Quantity(sourceID string) int64 {
	return 20 + int64(hash64("stock/"+sourceID)%100)
}
