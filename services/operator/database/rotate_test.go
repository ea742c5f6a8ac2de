package database

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"
	"github.com/jackc/pgx/v5"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/operatortest"
	"bookstore/services/platform/pg/pgtest"
)

// The idle login takes over; the other gets a new password only when its last connection has ended.
func TestRotate(t *testing.T) {
	t.Parallel()
	c := operatortest.Start(t)
	shop := newShop(t, c)
	var said strings.Builder
	r := rotation{c: c, out: console.Console{Out: &said}, services: []string{"books"}, declare: shop.declare, connections: shop.connections, grace: time.Second}
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"1 connections of bookdb_a are left", "bookdb_b are in use, and the passwords of bookdb_a are void"} {
		if !strings.Contains(said.String(), part) {
			t.Errorf("%q does not say %q", said.String(), part)
		}
	}
	books, migrate := shop.items(t, "books"), shop.items(t, "migrate")
	if books["db_user"] != "bookdb_b" || books["db_password"] != migrate["bookdb_b_password"] || books["redis_password"] != "kept" {
		t.Errorf("books has %v", books)
	}
	if migrate["orderdb_a_password"] != "kept" || slices.Contains(slices.Collect(maps.Values(migrate)), "first") {
		t.Errorf("migrate has %v", migrate)
	}
	if want := []string{"bookdb_b", "bookdb_a"}; !slices.Equal(shop.declared, want) || shop.left != 0 {
		t.Errorf("declared %v, the last with %d connections left", shop.declared, shop.left)
	}

	shop.broken = true
	r = rotation{c: c, out: r.out, services: r.services, declare: shop.declare, connections: shop.connections, grace: time.Second}
	if err := r.run(t.Context()); err == nil || !strings.Contains(err.Error(), "run this again") {
		t.Errorf("where logins cannot be declared: %v", err)
	}
	if now := shop.items(t, "books"); !maps.Equal(now, books) {
		t.Errorf("books has %v of a rotation that failed", now)
	}
}

// shop stands for the parts that a rotation needs: one member, one service with a connection, and the job migrate.
type shop struct {
	c        *cluster.Cluster
	before   nomad.VariableItems
	declared []string // whose password was another when the job ran
	left     int64    // connections of the login before when the job ran last
	broken   bool
	server   *pgtest.Instance
}

func newShop(t *testing.T, c *cluster.Cluster) *shop {
	t.Helper()
	s := &shop{c: c}
	for job, items := range map[string]nomad.VariableItems{
		"migrate": {"bookdb_a_password": "first", "bookdb_b_password": "first", "orderdb_a_password": "kept"},
		"books":   {"db_user": "bookdb_a", "db_password": "first", "redis_password": "kept"},
	} {
		if _, err := c.Change(t.Context(), job, func(now nomad.VariableItems) { maps.Copy(now, items) }); err != nil {
			t.Fatal(err)
		}
	}
	s.before = s.items(t, "migrate")

	s.server = pgtest.Start(t, pgtest.Options{})
	conn := connectAs(t, s.server.Addr(), "bookdb_a")
	served := 0
	books := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if served++; r.URL.Path == "/health" && served == 2 {
			_ = conn.Close(context.WithoutCancel(r.Context())) // the service comes to its pool
		}
	}))
	t.Cleanup(books.Close)
	announce(t, c, "books", "books-0", books.Listener.Addr().String())
	return s
}

func (s *shop) items(t *testing.T, job string) nomad.VariableItems {
	t.Helper()
	items, err := s.c.Items(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// declare is what the job migrate does: it finds whose password is another.
func (s *shop) declare(ctx context.Context) error {
	if s.broken {
		return errors.New("the job failed")
	}
	now, err := s.c.Items(ctx, "migrate")
	if err != nil {
		return err
	}
	for key := range now {
		if now[key] != s.before[key] {
			s.declared = append(s.declared, strings.TrimSuffix(key, "_password"))
		}
	}
	s.before = now
	s.left, err = s.connections(ctx, []string{"bookdb_a"})
	return err
}

func (s *shop) connections(ctx context.Context, logins []string) (n int64, err error) {
	conn, err := pgx.Connect(ctx, s.server.URL("postgres"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }()
	err = conn.QueryRow(ctx, connectionsOf, logins).Scan(&n)
	return n, err
}

// connectAs makes a role and a connection of it.
func connectAs(t *testing.T, address, role string) *pgx.Conn {
	t.Helper()
	admin, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", address))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(t.Context()) }()
	if _, err := admin.Exec(t.Context(), "create role "+role+" login"); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://%s@%s/postgres?sslmode=disable", role, address))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
