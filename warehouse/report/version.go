package report

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // the driver

	"bookstore/warehouse/catalogue"
	"bookstore/warehouse/store"
)

// version is a session on one published version, which stays as it is.
type version struct {
	run  string
	at   time.Time // of the cut
	zone string
	// lacks are the tables that are not as of the cut.
	lacks []store.Missing
	temp  string // a directory, the only one where the session has reason to write
	db    *sql.DB
	conn  *sql.Conn
}

// open finds the current version, or that of asOf: the last whose cut was not later.
func open(ctx context.Context, dir, asOf, zone string) (*version, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	chosen, err := store.AsOf(dir, asOf)
	if errors.Is(err, store.ErrNone) {
		err = fmt.Errorf(`%w ("go tool task warehouse:run" makes one)`, err)
	}
	if err != nil {
		return nil, err
	}
	manifest, err := chosen.Manifest()
	if err != nil {
		return nil, err
	}
	v := &version{run: chosen.Run, at: chosen.At, zone: zone, lacks: manifest.Missing}
	if v.temp, err = os.MkdirTemp("", "warehouse-"); err != nil {
		return nil, err
	}
	if v.db, err = sql.Open("duckdb", ""); err == nil {
		v.conn, err = v.db.Conn(ctx)
	}
	if err == nil {
		err = v.confine(ctx, dir, chosen.File())
	}
	if err != nil {
		v.close()
		return nil, fmt.Errorf("open version %s: %w", v.run, err)
	}
	return v, nil
}

// confine has the session reach nothing but the warehouse and its own temporary files, and no more memory
// than an answer should need: what does not fit goes to those files. The version
// is attached, not opened, so that what a session makes for itself has a place.
func (v *version) confine(ctx context.Context, dir, file string) error {
	for _, s := range []string{
		"attach " + catalogue.Literal(file) + " as warehouse (read_only)",
		"use warehouse",
		"set TimeZone = " + catalogue.Literal(v.zone),
		"set memory_limit = '400MB'",
		"set temp_directory = " + catalogue.Literal(v.temp),
		"set allowed_directories = [" + catalogue.Literal(dir) + ", " + catalogue.Literal(v.temp) + "]",
		"set enable_external_access = false",
		"set lock_configuration = true",
	} {
		if _, err := v.conn.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// warn says which tables are not as of the cut, before any answer.
func (v *version) warn(stderr io.Writer) {
	for _, m := range v.lacks {
		_, _ = fmt.Fprintln(stderr, "warning:", plain(m.String()))
	}
}

func (v *version) close() {
	if v.conn != nil {
		_ = v.conn.Close() // it has only read
	}
	if v.db != nil {
		_ = v.db.Close()
	}
	_ = os.RemoveAll(v.temp)
}
