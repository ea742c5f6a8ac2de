// Command orders shows orders, holds the orders branch of distributed transactions and does
// the orders steps of sagas.
package main

import (
	"errors"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/orders/ordershttp"
	"bookstore/services/orders/orderspg"
	"bookstore/services/platform/config"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/service"
	"bookstore/services/txn/branch"
	"bookstore/services/txn/branch/branchhttp"
	"bookstore/services/txn/step"
)

func main() { service.Main("orders", build) }

type settings struct {
	config.Service
	DB             pg.Config
	CoordinatorURL string `env:"COORDINATOR_URL,required"` // whom branches in doubt are asked about
}

// Validate reports every problem at once.
func (s settings) Validate() error {
	return errors.Join(s.Service.Validate(), s.DB.Validate())
}

func build(d *service.Deps, s settings) (service.App, error) {
	pool, err := d.Postgres("orderdb", s.DB, orderspg.Migrations)
	if err != nil {
		return service.App{}, err
	}
	coordinator := d.Client("coordinator", s.CoordinatorURL)

	slots := pg.NewSlots(pool)
	store := orderspg.New(pool).WithReplicas(d.Replicas(s.DB, pool))
	participant := branch.New(pool, d.Name, d.Log, d.Registry, branch.Sharing(slots))
	recovery := branch.NewRecovery(participant, branchhttp.NewAsker(coordinator), d.Registry)
	steps := step.New(pool, d.Log, d.Registry, step.Sharing(slots))
	d.Every("recover branches", branch.ScanEvery, recovery.Round)
	d.Clean(pool, orderspg.Cleaners()...)

	return service.App{Routes: func(app *fiber.App) {
		ordershttp.Routes(app, store)
		ordershttp.Branch(app, participant, orderspg.Branch)
		ordershttp.Steps(app, steps, ordershttp.Changes{
			Create: orderspg.CreatePaid, Cancel: orderspg.CancelPaid, Return: orderspg.Return, Unreturn: orderspg.Unreturn,
		})
	}}, nil
}
