package coordinatorpg

import (
	"embed"
	"io/fs"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations are coordinatordb's, numbered and forward-only.
var Migrations = func() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic("coordinatorpg: embedded migrations: " + err.Error())
	}
	return sub
}()
