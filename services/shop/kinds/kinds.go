// Package kinds is the table of the shop's own kinds of errors: their codes and statuses, whether they are decisions, and how
// a caller may retry. Kinds that every service has are in package fault.
package kinds

import (
	"net/http"

	"bookstore/services/platform/fault"
)

// The kinds, in the order of their statuses.
var (
	BookNotFound    = fault.Define("book_not_found", http.StatusNotFound, "Book not found", fault.Decided, fault.Never)
	OrderNotFound   = fault.Define("order_not_found", http.StatusNotFound, "Order not found", fault.Decided, fault.Never)
	OutOfStock      = fault.Define("out_of_stock", http.StatusConflict, "Out of stock", fault.Decided, fault.Never)
	PriceChanged    = fault.Define("price_changed", http.StatusConflict, "The price has changed", fault.Decided, fault.Anew)
	AlreadyCaptured = fault.Define("already_captured", http.StatusConflict, "The payment is already captured", fault.Decided, fault.Never)
	NotCancellable  = fault.Define("not_cancellable", http.StatusConflict, "Cannot be cancelled", fault.Decided, fault.Never)
	NotReturnable   = fault.Define("not_returnable", http.StatusConflict, "Cannot be returned", fault.Decided, fault.Never)
	PaymentDeclined = fault.Define("payment_declined", http.StatusConflict, "The payment was declined", fault.Decided, fault.Never)
	BookGone        = fault.Define("book_gone", http.StatusGone, "The book is gone", fault.Decided, fault.Never)
	MixedCurrencies = fault.Define("mixed_currencies", http.StatusUnprocessableEntity, "Mixed currencies", fault.Decided, fault.Never)

	// PriceNotMet: the price differs from the one that the customer expects. The API shows price_changed; a retry would be
	// refused too.
	PriceNotMet = fault.Alias("price_not_met", PriceChanged, http.StatusConflict, fault.Never)
	// BookNotFoundInOrder: an order has the id of a book that never existed.
	BookNotFoundInOrder = fault.Alias("book_not_found_in_order", BookNotFound, http.StatusUnprocessableEntity, fault.Never)
)
