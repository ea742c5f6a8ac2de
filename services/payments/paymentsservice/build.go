// Package paymentsservice builds the payments server: the store, the simulated provider, the steps of sagas, and the routes.
package paymentsservice

import (
	"errors"
	"fmt"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/payments"
	"bookstore/services/payments/paymentshttp"
	"bookstore/services/payments/paymentspg"
	"bookstore/services/payments/stepspg"
	"bookstore/services/platform/config"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/service"
	"bookstore/services/txn/participant"
)

// Settings of the payments server. They come from the environment.
type Settings struct {
	config.Service
	DB pg.Config
	// ProviderTimeout bounds a call to the provider. The caller's own deadline does not.
	ProviderTimeout time.Duration `env:"PROVIDER_TIMEOUT" envDefault:"8s"`
}

// Validate reports every problem at once.
func (s Settings) Validate() error {
	errs := []error{s.Service.Validate(), s.DB.Validate()}
	if s.ProviderTimeout <= payments.Lateness || s.ProviderTimeout >= s.ShutdownTimeout {
		errs = append(errs, fmt.Errorf("PROVIDER_TIMEOUT: must be above %s, in which late answers come, and below SHUTDOWN_TIMEOUT", payments.Lateness))
	}
	return errors.Join(errs...)
}

// Build is the service.Build of the payments server.
func Build(d *service.Deps, s Settings) (service.App, error) {
	pool, err := d.Postgres("paymentdb", s.DB, paymentspg.Migrations)
	if err != nil {
		return service.App{}, err
	}
	store, steps := paymentspg.New(pool), participant.New(pool, d.Name, d.Log, d.Registry)
	provider := payments.NewSimulator(paymentspg.NewAttempts(pool), payments.Lateness)
	d.Clean(pool, paymentspg.Cleaners()...)

	return service.App{Routes: func(app *fiber.App) {
		paymentshttp.Routes(app, store)
		paymentshttp.Participate(app, stepspg.New(steps, store, provider, s.ProviderTimeout, time.Now, d.Registry))
	}}, nil
}
