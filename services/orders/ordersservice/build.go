// Package ordersservice builds the orders server: the store, the participant of transactions and sagas, and the routes.
package ordersservice

import (
	"errors"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/orders/ordershttp"
	"bookstore/services/orders/orderspg"
	"bookstore/services/platform/config"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/service"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/participant/participanthttp"
)

// Settings of the orders server. They come from the environment.
type Settings struct {
	config.Service
	DB             pg.Config
	CoordinatorURL string `env:"COORDINATOR_URL,required"` // knows the outcome of in-doubt branches
}

// Validate reports every problem at once.
func (s Settings) Validate() error {
	return errors.Join(s.Service.Validate(), s.DB.Validate())
}

// Build is the service.Build of the orders server.
func Build(d *service.Deps, s Settings) (service.App, error) {
	pool, err := d.Postgres("orderdb", s.DB, orderspg.Migrations)
	if err != nil {
		return service.App{}, err
	}
	coordinator := d.Client("coordinator", s.CoordinatorURL)

	store := orderspg.New(pool).WithReplicas(d.Replicas(s.DB, pool))
	p := participant.New(pool, d.Name, d.Log, d.Registry)
	recovery := participant.NewRecovery(p, participanthttp.NewCoordinator(coordinator), d.Registry)
	d.Every("recover branches", participant.ScanEvery, recovery.Round)
	d.Clean(pool, orderspg.Cleaners()...)

	return service.App{Routes: func(app *fiber.App) {
		ordershttp.Routes(app, store)
		ordershttp.Participate(app, p, ordershttp.Changes{
			Branch: orderspg.Branch, CreateOrder: orderspg.CreateOrder, MarkReturned: orderspg.MarkReturned,
		})
	}}, nil
}
