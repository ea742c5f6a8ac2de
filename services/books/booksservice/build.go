// Package booksservice builds the books server: the store, what announces its changes, the participant of transactions and
// sagas, and the routes.
package booksservice

import (
	"errors"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/books/announce"
	"bookstore/services/books/bookshttp"
	"bookstore/services/books/bookspg"
	"bookstore/services/cache/coherence"
	"bookstore/services/cache/outbox"
	"bookstore/services/platform/config"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/redis"
	"bookstore/services/platform/service"
	"bookstore/services/platform/web"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/participant/participanthttp"
)

// Settings of the books server. They come from the environment.
type Settings struct {
	config.Service
	DB             pg.Config
	Redis          redis.Config // the caches that changes are announced to; optional
	CoordinatorURL string       `env:"COORDINATOR_URL,required"` // knows the outcome of in-doubt branches
}

// Validate reports every problem at once.
func (s Settings) Validate() error {
	return errors.Join(s.Service.Validate(), s.DB.Validate())
}

// Build is the service.Build of the books server.
func Build(d *service.Deps, s Settings) (service.App, error) {
	pool, err := d.Postgres("bookdb", s.DB, bookspg.Migrations)
	if err != nil {
		return service.App{}, err
	}
	caches, err := d.Redis(s.Redis)
	if err != nil {
		return service.App{}, err
	}
	var announceChange outbox.Announce
	if caches != nil {
		announceChange = coherence.NewAnnouncer(caches, d.Log, d.Registry).Announce
	}
	coordinator := d.Client("coordinator", s.CoordinatorURL)

	slots := pg.NewSlots(pool)
	store := bookspg.New(pool).WithReplicas(d.Replicas(s.DB, pool)).Sharing(slots)
	relay := outbox.New(pool, announceChange, d.Log, d.Registry)
	p := participant.New(pool, d.Name, d.Log, d.Registry,
		participant.Sharing(slots), participant.OnCommit(relay.Committed), participant.OnStep(relay.Stepped))
	recovery := participant.NewRecovery(p, participanthttp.NewCoordinator(coordinator), d.Registry)
	d.Every("recover branches", participant.ScanEvery, recovery.Round)
	d.Every("announce changes", outbox.Every, relay.Round)
	d.Clean(pool, bookspg.Cleaners()...)

	return service.App{Routes: func(app *fiber.App) {
		if s.DB.MembersFile != "" { // only then are there replicas, which need the token
			app.Use("/books", web.TellConsistency(pg.NewTip(pool).Token))
		}
		bookshttp.Routes(app, announce.Store(store, relay), time.Now)
		bookshttp.Participate(app, p, bookshttp.Changes{
			Branch: bookspg.Branch, ReserveStock: bookspg.ReserveStock, Restock: bookspg.Restock,
		})
	}}, nil
}
