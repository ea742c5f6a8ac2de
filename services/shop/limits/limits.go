// Package limits has the bounds that several services check: what the coordinator accepts from a customer, books, orders and
// payments must accept from the coordinator. The API's document states the same bounds; a test in gateway/openapi compares
// them.
package limits

// The bounds, each with its unit.
const (
	CustomerID = 128               // characters of a customer's id
	OrderItems = 100               // different books of one order, and of one request for quotes
	Quantity   = 1000              // copies of one book in an order
	Title      = 500               // characters of a book's title
	Authors    = 1000              // authors of a book
	SourceID   = 200               // characters of a book's id in its source
	Price      = 100_000_000       // of one copy, in minor units
	Total      = 1_000_000_000_000 // of an order, and so of a payment, in minor units
)
