package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
	"github.com/jackc/pgx/v5"

	"bookstore/patroni/rest"
	"bookstore/patroni/socket"
)

// Member is one of PostgreSQL's, as Patroni sees it.
type Member struct {
	Name, Role, State string
	Host              string
	Port, Timeline    int
	APIURL            string `json:"api_url"`

	Alloc string // of Nomad's; empty where none runs
}

// Leads tells whether the member is the leader.
func (m Member) Leads() bool { return m.Role == "leader" }

// Container is the name of the member's own; others of its allocation stand beside it.
func (m Member) Container() string { return Container("patroni", m.Alloc) }

// Patroni is a client of the members' REST API, with a member's certificate.
func Patroni(t testing.TB) *http.Client {
	t.Helper()
	return rest.Client(rest.FromConsul(Consul(t)))
}

// Members reads the list of all members from the first that answers.
func Members(ctx context.Context, t testing.TB) ([]Member, error) {
	t.Helper()
	entries, _, err := Consul(t).Health().Service("patroni-rest", "", false, (&consul.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	running, err := Allocations(ctx, t, "patroni")
	if err != nil {
		return nil, err
	}
	last := errors.New("no member is in Consul")
	for _, e := range entries {
		var cluster struct{ Members []Member }
		if last = getBy(ctx, Patroni(t), "https://"+HostPort(e)+"/cluster", &cluster); last != nil {
			continue
		}
		for i := range cluster.Members {
			for _, a := range running {
				if cluster.Members[i].Name == fmt.Sprintf("patroni-%d", allocationIndex(a)) {
					cluster.Members[i].Alloc = a.ID
				}
			}
		}
		return cluster.Members, nil
	}
	return nil, last
}

// PostgresWhole is nil when there are a leader and, as many as its job has besides, standbys any of which a commit may wait
// for, all on one timeline.
func PostgresWhole(ctx context.Context, t testing.TB) error {
	t.Helper()
	list, err := Members(ctx, t)
	if err != nil {
		return err
	}
	wanted, err := Count(ctx, t, "patroni")
	if err != nil {
		return err
	}
	leaders, standbys := 0, 0
	for _, m := range list {
		switch {
		case m.Timeline != list[0].Timeline:
		case m.Leads() && m.State == "running":
			leaders++
		case m.Role == "quorum_standby" && m.State == "streaming":
			standbys++
		}
	}
	if leaders != 1 || standbys != wanted-1 {
		return fmt.Errorf("%d leaders and %d standbys: %+v", leaders, standbys, list)
	}
	return nil
}

// Password is the one of PostgreSQL's that the variable of its job has by this name.
func Password(t testing.TB, name string) string {
	t.Helper()
	variable, _, err := Nomad(t).Variables().GetVariableItems("nomad/jobs/patroni", nil)
	if err != nil {
		t.Fatalf("read the passwords of patroni (is the shop up?): %v", err)
	}
	return variable[name]
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
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return socket.Leader(ctx, Nomad(t), database)
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
