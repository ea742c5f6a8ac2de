package txnpg

import (
	"embed"
	"io/fs"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations are those of the engines' database, numbered and forward-only.
var Migrations = func() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic("txnpg: embedded migrations: " + err.Error())
	}
	return sub
}()
