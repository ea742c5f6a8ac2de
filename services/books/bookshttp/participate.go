package bookshttp

import (
	"github.com/gofiber/fiber/v2"

	"bookstore/services/books"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/participant/participanthttp"
)

// Changes are what the coordinator's calls do to the stock.
type Changes struct {
	Branch                participant.Change[books.Reservation]
	ReserveStock, Restock participant.Step[books.Reservation]
}

// linesJSON is the payload of both steps. A unitPriceCents is the quoted price
// and means nothing to restock.
type linesJSON struct {
	OrderID string       `json:"orderId"`
	Lines   []books.Line `json:"lines"`
}

// Participate adds the calls by which the coordinator reaches the books branch,
// whose payload is a reservation, and the steps reserve_stock, which can be
// undone, and restock, which cannot.
func Participate(app fiber.Router, p *participant.Participant, c Changes) {
	participanthttp.Branch(app, p, c.Branch, func(r books.Reservation) books.Reservation { return r })
	step := func(name string, s participant.Step[books.Reservation], action books.Action) {
		participanthttp.Step(app, name, s.Handler(p), func(l linesJSON) books.Reservation {
			return books.Reservation{Action: action, OrderID: l.OrderID, Lines: l.Lines}
		})
	}
	step("reserve_stock", c.ReserveStock, books.Reserve)
	step("restock", c.Restock, books.Restock)
}
