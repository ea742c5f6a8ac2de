package cluster

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"
	"github.com/jackc/pgx/v5"

	"bookstore/services/shoptest"
)

// Services are the shop's own, each with two instances.
var Services = []string{"books", "orders", "payments", "coordinator", "gateway"}

// oneConsul is a client for all: each keeps connections of its own, and the agent allows one
// address two hundred.
var oneConsul = sync.OnceValues(func() (*consul.Client, error) {
	return consul.NewClient(&consul.Config{Address: "http://127.0.0.1:8500"})
})

// Consul is a client of the agent on this machine.
func Consul(t testing.TB) *consul.Client {
	t.Helper()
	c, err := oneConsul()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var oneNomad = sync.OnceValues(func() (*nomad.Client, error) {
	return nomad.NewClient(&nomad.Config{Address: "http://127.0.0.1:4646"})
})

// Nomad is a client of the agent on this machine.
func Nomad(t testing.TB) *nomad.Client {
	t.Helper()
	c, err := oneNomad()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Healthy are the instances of a service whose checks all pass.
func Healthy(ctx context.Context, t testing.TB, service, tag string) ([]*consul.ServiceEntry, error) {
	t.Helper()
	options := (&consul.QueryOptions{RequireConsistent: true}).WithContext(ctx)
	entries, _, err := Consul(t).Health().Service(service, tag, true, options)
	return entries, err
}

// Address is the host of an instance.
func Address(e *consul.ServiceEntry) string {
	if e.Service.Address != "" {
		return e.Service.Address
	}
	return e.Node.Address
}

// WaitHealthy polls until exactly n instances of every service are healthy.
func WaitHealthy(t testing.TB, n int, names ...string) {
	t.Helper()
	shoptest.Eventually(t, 2*time.Minute, fmt.Sprintf("%d healthy instances of %v", n, names), func(ctx context.Context) error {
		for _, name := range names {
			entries, err := Healthy(ctx, t, name, "")
			if err != nil {
				return err
			}
			if len(entries) != n {
				return fmt.Errorf("%s has %d", name, len(entries))
			}
		}
		return nil
	})
}

// HostPort is where an instance listens.
func HostPort(e *consul.ServiceEntry) string {
	return net.JoinHostPort(Address(e), strconv.Itoa(e.Service.Port))
}

// Allocations are those of a job that run and are to go on.
func Allocations(ctx context.Context, t testing.TB, job string) (running []*nomad.AllocationListStub, err error) {
	t.Helper()
	all, _, err := Nomad(t).Jobs().Allocations(job, false, (&nomad.QueryOptions{}).WithContext(ctx))
	for _, a := range all {
		if a.ClientStatus == nomad.AllocClientStatusRunning && a.DesiredStatus == nomad.AllocDesiredStatusRun {
			running = append(running, a)
		}
	}
	return running, err
}

// Running are the allocations of a job of which some have to run.
func Running(t testing.TB, job string) []*nomad.AllocationListStub {
	t.Helper()
	running, err := Allocations(t.Context(), t, job)
	if err != nil || len(running) == 0 {
		t.Fatalf("no allocation of %s is running: %v", job, err)
	}
	return running
}

// allocationIndex is the number in an allocation's name: patroni.patroni[3].
func allocationIndex(a *nomad.AllocationListStub) int {
	_, text, _ := strings.Cut(a.Name, "[")
	n, err := strconv.Atoi(strings.TrimSuffix(text, "]"))
	if err != nil {
		return -1
	}
	return n
}

// get decodes what an address answers; another status than 200 is an error.
func get(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := (&http.Client{Timeout: 3 * time.Second}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// Leader connects to one database as the superuser, on the leader: the only place that
// shows prepared transactions.
func Leader(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	conn, err := Connect(t.Context(), t, database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { CloseConn(conn) })
	return conn
}

// Connect is Leader for those who go on where there is no leader. They close the connection.
func Connect(ctx context.Context, t testing.TB, database string) (*pgx.Conn, error) {
	t.Helper()
	entries, err := Healthy(ctx, t, "patroni", "")
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig("user=postgres connect_timeout=5 target_session_attrs=read-write")
	if err != nil {
		return nil, err
	}
	config.Database, config.Password = database, Password(t, "superuser_password")
	config.Fallbacks = nil
	// The members' certificates bear no DNS name; that they are the right ones is a test of
	// the services' connections, this one only looks.
	config.TLSConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	last := errors.New("no member is in Consul")
	for _, e := range entries {
		config.Host, config.Port = Address(e), uint16(e.Service.Port)
		conn, err := pgx.ConnectConfig(ctx, config)
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, fmt.Errorf("no member of patroni takes writes: %w", last)
}

// CloseConn closes a connection at the end of a test.
func CloseConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = conn.Close(ctx) // the test is over either way
}

// Number runs a query whose answer is one number.
func Number(t testing.TB, conn *pgx.Conn, sql string, args ...any) (n int64) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}
