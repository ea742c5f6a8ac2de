//go:build drill

package drills

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	consul "github.com/hashicorp/consul/api"

	"bookstore/services/platform/config"
	"bookstore/services/platform/pg"
	"bookstore/services/shoptest/cluster"
)

// database is what the drills write into; it is theirs alone, made and dropped by them.
const database = "drills"

// access is the way into the cluster that a service has: files with the members, the
// credentials and the mesh's authority, the first of which changes under it.
type access struct {
	consul *consul.Client
	config pg.Config
}

func newAccess(t *testing.T, all []cluster.Member) *access {
	t.Helper()
	dir := t.TempDir()
	roots, _, err := cluster.Consul(t).Agent().ConnectCARoots(nil)
	if err != nil {
		t.Fatalf("read the mesh's authority: %v", err)
	}
	var authority bytes.Buffer
	for _, root := range roots.Roots {
		authority.WriteString(root.RootCertPEM)
	}
	a := &access{consul: cluster.Consul(t), config: pg.Config{
		DSN:             config.Secret("postgres://localhost/" + database),
		MembersFile:     filepath.Join(dir, "members"),
		CredentialsFile: filepath.Join(dir, "credentials"),
		CAFile:          filepath.Join(dir, "ca.pem"),
		TLSService:      "postgres",
	}}
	var members bytes.Buffer
	for _, m := range all {
		fmt.Fprintln(&members, net.JoinHostPort(m.Host, strconv.Itoa(m.Port)))
	}
	for name, content := range map[string][]byte{
		a.config.MembersFile:     members.Bytes(),
		a.config.CredentialsFile: []byte("postgres:" + cluster.Password(t, "superuser_password") + "\n"),
		a.config.CAFile:          authority.Bytes(),
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// follow keeps the file of the members as Nomad keeps that of a service. While Consul is
// away, or knows of nobody, it stays as it is.
func (a *access) follow(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		a.note(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// note writes the members that Consul knows of.
func (a *access) note(ctx context.Context) {
	entries, _, err := a.consul.Catalog().Service("patroni", "", (&consul.QueryOptions{}).WithContext(ctx))
	if err != nil || len(entries) == 0 {
		return
	}
	var members bytes.Buffer
	for _, e := range entries {
		fmt.Fprintln(&members, net.JoinHostPort(e.ServiceAddress, strconv.Itoa(e.ServicePort)))
	}
	fresh := a.config.MembersFile + ".new"
	if os.WriteFile(fresh, members.Bytes(), 0o600) == nil {
		_ = os.Rename(fresh, a.config.MembersFile) // the next second tries again
	}
}

// to is one connection to one member, whatever its role.
func (a *access) to(ctx context.Context, m cluster.Member) (*pgx.Conn, error) {
	c, err := a.config.ConnConfig()
	if err != nil {
		return nil, err
	}
	c.Host, c.Port, c.Fallbacks, c.ValidateConnect = m.Host, uint16(m.Port), nil, nil
	return pgx.ConnectConfig(ctx, c)
}

// leader is one connection to the leader, for the superuser, to one database.
func (a *access) leader(ctx context.Context, name string) (*pgx.Conn, error) {
	c, err := a.config.ConnConfig()
	if err != nil {
		return nil, err
	}
	c.Database = name
	return pgx.ConnectConfig(ctx, c)
}

// number asks the leader for one.
func (s *scene) number(ctx context.Context, database, sql string, args ...any) (n int, err error) {
	conn, err := s.load.writers.access.leader(ctx, database)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, sql, args...).Scan(&n)
	return n, err
}
