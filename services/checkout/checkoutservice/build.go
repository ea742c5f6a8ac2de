// Package checkoutservice builds the coordinator: the engines of transactions and sagas with
// their store, the shop's use cases, and the routes.
package checkoutservice

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

// requestDeadline is below the gateway's time for the same calls, so that the
// coordinator's own answer arrives.
const requestDeadline = 8 * time.Second

// Settings of the coordinator. They come from the environment.
type Settings struct {
	config.Service
	DB          pg.Config
	BooksURL    string `env:"BOOKS_URL,required"`
	OrdersURL   string `env:"ORDERS_URL,required"`
	PaymentsURL string `env:"PAYMENTS_URL,required"`
}

// Validate reports every problem at once.
func (s Settings) Validate() error {
	return errors.Join(s.Service.Validate(), s.DB.Validate(), twophase.DefaultSettings(s.Instance).Validate())
}

// participants are the services that the coordinator calls.
type participants struct{ books, orders, payments *call.Client }

// Build is the service.Build of the coordinator.
func Build(d *service.Deps, s Settings) (service.App, error) {
	pool, err := d.Postgres("coordinatordb", s.DB, txnpg.Migrations)
	if err != nil {
		return service.App{}, err
	}
	at := participants{d.Client("books", s.BooksURL), d.Client("orders", s.OrdersURL), d.Client("payments", s.PaymentsURL)}
	protocol := twophase.DefaultSettings(s.Instance)
	transactions, err := newTransactions(d, pool, at, protocol)
	if err != nil {
		return service.App{}, err
	}
	sagas, err := newSagas(d, pool, at)
	if err != nil {
		return service.App{}, err
	}
	shop, err := checkout.New(checkout.Dependencies{
		Transactions: transactions, Sagas: sagas,
		Quotes: checkouthttp.NewQuotes(at.books), Orders: checkouthttp.NewOrders(at.orders),
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
	d.Every("measure the warehouse", txnpg.WarehouseEvery, txnpg.NewWarehouse(pool, d.Registry).Refresh)

	return service.App{Web: web.Options{Deadline: requestDeadline}, Routes: func(app *fiber.App) {
		if s.DB.MembersFile != "" { // else there is nothing but a leader to read from
			app.Use([]string{"/orders", "/checkouts"}, web.TellConsistency(pg.NewTip(pool).Token))
		}
		checkouthttp.Routes(app, shop)
	}}, nil
}

func newTransactions(d *service.Deps, pool *pgxpool.Pool, at participants, protocol twophase.Settings) (*twophase.Engine, error) {
	return twophase.New(twophase.Dependencies{
		Store: txnpg.New(pool, protocol),
		Participants: map[string]twophase.Participant{
			checkout.BranchBooks:  txnhttp.NewParticipant(at.books),
			checkout.BranchOrders: txnhttp.NewParticipant(at.orders),
		},
		Metrics: twophase.NewMetrics(d.Registry), Log: d.Log,
	}, protocol)
}

func newSagas(d *service.Deps, pool *pgxpool.Pool, at participants) (*saga.Engine, error) {
	return saga.NewEngine(saga.Options{
		Store:       txnpg.NewSagas(pool),
		Definitions: checkout.Sagas(),
		Participants: map[string]saga.Participant{
			checkout.BranchBooks:    txnhttp.NewSteps(at.books),
			checkout.BranchOrders:   txnhttp.NewSteps(at.orders),
			checkout.BranchPayments: txnhttp.NewSteps(at.payments),
		},
		NewID: newID, Metrics: saga.NewMetrics(d.Registry), Log: d.Log, Settings: saga.DefaultSettings(),
	})
}

func newID() (string, error) {
	id, err := uuid.NewV7()
	return id.String(), err
}
