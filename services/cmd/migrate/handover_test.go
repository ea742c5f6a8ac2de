package main

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/patroni"
	"bookstore/services/books/bookspg"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
)

// A shop of before, whose services own their tables, is migrated while they work: no statement of theirs fails, and
// what they prepared before is finished after.
func TestTablesChangeHandsWhileTheyAreUsed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := pgtest.Start(t, pgtest.Options{})
	d := patroni.Databases()[0]
	ownedByTheService(t, server, d)
	old, err := dial(t, server, "postgres", d.Name, d.Role)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"set lock_timeout = '500ms'", "begin", "insert into branch_markers values ('g1', 'books', 'prepared', now())",
		"prepare transaction 'g1:books'",
	} {
		if _, err := old.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	stop, wrote := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				wrote <- n
				return
			default:
			}
			_, err := old.Exec(ctx, "with b as (insert into books (title, authors, language, price_cents, currency) values ('T', '{A}', 'en', 1, 'EUR') returning id) select id from b")
			if err != nil {
				t.Errorf("a service's statement fails: %v", err)
			}
		}
	}()
	// The prepared transaction holds its lock on one table until it is finished.
	time.AfterFunc(2*time.Second, func() {
		finisher, err := dial(t, server, d.Logins[1], d.Name, d.Role)
		if err == nil {
			_, err = finisher.Exec(ctx, "commit prepared 'g1:books'")
		}
		if err != nil {
			t.Errorf("what was prepared before: %v", err)
		}
	})
	if err := run(ctx, environment(t, server, allLogins()), io.Discard); err != nil {
		t.Fatal(err)
	}
	close(stop)
	if n := <-wrote; n < 10 {
		t.Errorf("the service wrote %d rows meanwhile", n)
	}
	ownsNothing(t, server, d)
	for _, login := range d.Logins {
		mayDoItsWork(t, server, login, d)
	}
}

// ownedByTheService makes a database as it was when its service's role owned it.
func ownedByTheService(t *testing.T, server *pgtest.Instance, d patroni.Database) {
	t.Helper()
	ctx := context.Background()
	root, err := pgx.Connect(ctx, server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close(ctx)
	for _, sql := range []string{"create role " + d.Role, "create database " + d.Name + " owner " + d.Role} {
		if _, err := root.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	inside, err := pgx.ParseConfig(server.URL(d.Name))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(ctx, inside)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "alter schema public owner to "+d.Role); err != nil {
		t.Fatal(err)
	}
	inside.RuntimeParams["role"] = d.Role
	if _, err := pg.Migrate(ctx, inside, bookspg.Migrations); err != nil {
		t.Fatal(err)
	}
}
