// Command coordinator places and cancels orders as two-phase commits, and runs
// checkouts and returns as sagas.
package main

import (
	"errors"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/checkout"
	"bookstore/services/checkout/checkouthttp"
	"bookstore/services/platform/call"
	"bookstore/services/platform/config"
	"bookstore/services/platform/lifecycle"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/service"
	"bookstore/services/platform/web"
	"bookstore/services/txn/saga"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnhttp"
	"bookstore/services/txn/txnpg"
)

func main() { service.Main("coordinator", build) }

// requestDeadline is below the gateway's time for the same calls, so that the
// coordinator's own answer arrives.
const requestDeadline = 8 * time.Second

type settings struct {
	config.Service
	DB          pg.Config
	BooksURL    string `env:"BOOKS_URL,required"`
	OrdersURL   string `env:"ORDERS_URL,required"`
	PaymentsURL string `env:"PAYMENTS_URL,required"`
}

// Validate reports every problem at once.
func (s settings) Validate() error {
	return errors.Join(s.Service.Validate(), s.DB.Validate(), twophase.DefaultSettings(s.Instance).Validate())
}

func build(d *service.Deps, s settings) (service.App, error) {
	pool, err := d.Postgres("coordinatordb", s.DB, txnpg.Migrations)
	if err != nil {
		return service.App{}, err
	}
	books, orders := d.Client("books", s.BooksURL), d.Client("orders", s.OrdersURL)
	payments := d.Client("payments", s.PaymentsURL)
	sagas, err := newSagas(d, pool, books, orders, payments)
	if err != nil {
		return service.App{}, err
	}
	protocol := twophase.DefaultSettings(s.Instance)
	transactions, err := twophase.New(twophase.Dependencies{
		Store: txnpg.New(pool, protocol),
		Participants: map[string]twophase.Participant{
			checkout.BranchBooks:  txnhttp.NewParticipant(books),
			checkout.BranchOrders: txnhttp.NewParticipant(orders),
		},
		Metrics: twophase.NewMetrics(d.Registry), Log: d.Log,
	}, protocol)
	if err != nil {
		return service.App{}, err
	}
	shop, err := checkout.New(checkout.Dependencies{
		Transactions: transactions, Sagas: sagas, Quotes: checkouthttp.NewQuotes(books), Orders: checkouthttp.NewOrders(orders),
		Clock: time.Now, NewID: newID,
	}, checkout.DefaultSettings())
	if err != nil {
		return service.App{}, err
	}
	d.Part(
		lifecycle.Part{Name: "transactions", Start: transactions.Start, Stop: transactions.Stop},
		lifecycle.Part{Name: "sagas", Start: sagas.Start, Stop: sagas.Stop},
	)
	d.Clean(pool, txnpg.Cleaners(protocol.Retention, sagas.Settings.KeepFor)...)
	d.Every("look at the warehouse", txnpg.WarehouseEvery, txnpg.NewWarehouse(pool, d.Registry).Refresh)

	return service.App{Web: web.Options{Deadline: requestDeadline}, Routes: func(app *fiber.App) {
		if s.DB.MembersFile != "" { // else there is nothing but a leader to read from
			app.Use([]string{"/orders", "/checkouts"}, web.TellConsistency(pg.NewTip(pool).Token))
		}
		checkouthttp.Routes(app, shop)
	}}, nil
}

func newSagas(d *service.Deps, pool *pgxpool.Pool, books, orders, payments *call.Client) (*saga.Engine, error) {
	return saga.NewEngine(saga.Options{
		Store:       txnpg.NewSagas(pool),
		Definitions: checkout.Sagas(),
		Participants: map[string]saga.Participant{
			checkout.BranchBooks:    txnhttp.NewSteps(books),
			checkout.BranchOrders:   txnhttp.NewSteps(orders),
			checkout.BranchPayments: txnhttp.NewSteps(payments),
		},
		NewID: newID, Metrics: saga.NewMetrics(d.Registry), Log: d.Log, Settings: saga.DefaultSettings(),
	})
}

func newID() (string, error) {
	id, err := uuid.NewV7()
	return id.String(), err
}
