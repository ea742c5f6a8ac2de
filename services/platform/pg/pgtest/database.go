package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/pg"
)

// DSN is the superuser's connection string of a fresh, migrated database of
// this server. The database is dropped when the test ends, whatever prepared
// transactions or connections it still has.
func (i *Instance) DSN(t testing.TB, migrations fs.FS) string {
	t.Helper()
	ctx := context.Background()
	template, err := i.template(ctx, migrations)
	if err != nil {
		t.Fatal(err)
	}
	database := fmt.Sprintf("test_%d", i.databases.Add(1))
	if err := i.exec(ctx, "create database "+database+" template "+template); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.drop(ctx, database); err != nil && i.running() {
			t.Errorf("drop %s: %v", database, err)
		}
	})
	return i.URL(database)
}

// template makes the database that others with these migrations are cloned
// from, once per set of migrations.
func (i *Instance) template(ctx context.Context, migrations fs.FS) (string, error) {
	sum, err := digest(migrations)
	if err != nil {
		return "", err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if made, ok := i.templates[sum]; ok {
		return made, nil
	}
	made := "template_" + sum
	if err := i.exec(ctx, "create database "+made); err != nil {
		return "", err
	}
	cfg, err := pgx.ParseConfig(i.URL(made))
	if err != nil {
		return "", fmt.Errorf("template: %w", err)
	}
	if _, err := pg.Migrate(ctx, cfg, migrations); err != nil {
		return "", err
	}
	i.templates[sum] = made
	return made, nil
}

func digest(migrations fs.FS) (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(migrations, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(migrations, path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(hash, "%s %d\n%s", path, len(text), text)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read migrations: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil))[:16], nil
}

// dropTimeout keeps a server that a failed test left waiting from hanging the run.
const dropTimeout = 20 * time.Second

// drop removes a database; prepared transactions in it would forbid that.
func (i *Instance) drop(ctx context.Context, database string) error {
	ctx, cancel := context.WithTimeout(ctx, dropTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, i.URL(database))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	rows, err := conn.Query(ctx, "select format('rollback prepared %L', gid) from pg_prepared_xacts where database = current_database()")
	if err == nil {
		var statements []string
		statements, err = pgx.CollectRows(rows, pgx.RowTo[string])
		for _, sql := range statements {
			if _, e := conn.Exec(ctx, sql); e != nil {
				err = e
			}
		}
	}
	_ = conn.Close(ctx)
	if err != nil {
		return fmt.Errorf("roll back what is prepared: %w", err)
	}
	return i.exec(ctx, "drop database "+database+" with (force)")
}

// exec runs one statement as superuser on a connection of its own.
func (i *Instance) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, i.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // the statement is done
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}
