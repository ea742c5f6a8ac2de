// Package limits holds the bounds that more than one service keeps: what the
// coordinator takes from a customer, orders, books and payments have to take from
// the coordinator. The API's document states the same, which a test beside it holds.
package limits

// The bounds, each with what it counts.
const (
	CustomerID = 128               // characters of a customer's id
	OrderItems = 100               // different books of one order, and of one request for quotes
	Quantity   = 1000              // copies of one book in an order; more is a mistake, not a purchase
	Title      = 500               // characters of a book's title
	Authors    = 1000              // authors of a book
	SourceID   = 200               // characters of a book's id in its source
	Price      = 100_000_000       // of one copy, in minor units
	Total      = 1_000_000_000_000 // of an order, and so of a payment, in minor units
)
