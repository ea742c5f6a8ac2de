// Command migrate declares the databases and roles and brings every schema up
// to date. It runs to its end; run again it changes nothing.
package main

import (
	"io/fs"

	"bookstore/services/books/bookspg"
	"bookstore/services/migrate"
	"bookstore/services/orders/orderspg"
	"bookstore/services/payments/paymentspg"
	"bookstore/services/platform/program"
	"bookstore/services/txn/txnpg"
)

func main() { program.Task("migrate", migrateAll) }

var migrateAll = migrate.All(map[string]fs.FS{
	"bookdb":        bookspg.Migrations,
	"orderdb":       orderspg.Migrations,
	"paymentdb":     paymentspg.Migrations,
	"coordinatordb": txnpg.Migrations,
})
