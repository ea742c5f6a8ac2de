//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// databases are whose login is whose.
var databases = map[string]string{"books": "bookdb", "orders": "orderdb", "payments": "paymentdb", "coordinator": "coordinatordb"}

func item(t *testing.T, job, key string) string {
	t.Helper()
	items, _, err := cluster.Nomad(t).Variables().GetVariableItems("nomad/jobs/"+job, nil)
	if err != nil {
		t.Fatal(err)
	}
	return items[key]
}

// The services get new logins and passwords while customers read and buy: nobody notices.
func TestRotatedPasswordsLoseNoRequest(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	before := map[string]string{}
	for service := range databases {
		before[service] = item(t, service, "db_user") + ":" + item(t, service, "db_password")
	}
	l := shoptest.StartEveryday(t)
	l.More(t, "", 100)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	out, err := cluster.OperatorCommand(ctx, "db", "rotate").CombinedOutput()
	if err != nil {
		t.Fatalf("rotate: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	l.More(t, "", 100)
	l.RequireNoFailure(t)
	for service, database := range databases {
		now := item(t, service, "db_user")
		user, password, _ := strings.Cut(before[service], ":")
		if now == user {
			t.Errorf("%s still uses %s", service, now)
		}
		if err := enters(t, user, password, database); pgCode(err) != "28P01" {
			t.Errorf("the old password of %s: %v", user, err)
		}
	}
	cluster.RequireNothingInDoubt(t)
}

// Each login comes into its own database and into no other, from the network and with its password.
func TestNoLoginEntersAnothersDatabase(t *testing.T) {
	for service, own := range databases {
		user, password := item(t, service, "db_user"), item(t, service, "db_password")
		for _, database := range []string{"bookdb", "orderdb", "paymentdb", "coordinatordb", "postgres", "template1"} {
			switch err := enters(t, user, password, database); {
			case database == own && err != nil:
				t.Errorf("%s does not come into %s: %v", user, database, err)
			case database != own && pgCode(err) != "28000":
				t.Errorf("%s into %s: %v", user, database, err)
			}
		}
	}
	for _, guest := range []string{"exporter", "warehouse"} {
		password := item(t, "migrate", guest+"_password")
		for _, database := range databases {
			if err := enters(t, guest, password, database); err != nil {
				t.Errorf("%s does not come into %s: %v", guest, database, err)
			}
		}
		if err := enters(t, guest, password, "postgres"); pgCode(err) != "28000" {
			t.Errorf("%s into postgres: %v", guest, err)
		}
	}
}

// enters tries a login at one member: they all have the same roles and rules.
func enters(t *testing.T, user, password, database string) error {
	t.Helper()
	entries, err := cluster.Healthy(t.Context(), t, "patroni", "")
	if err != nil || len(entries) == 0 {
		t.Fatalf("no patroni in Consul: %v", err)
	}
	config, err := pgx.ParseConfig("connect_timeout=5")
	if err != nil {
		t.Fatal(err)
	}
	config.Host, config.Port, config.Fallbacks = cluster.Address(entries[0]), uint16(entries[0].Service.Port), nil
	config.User, config.Password, config.Database = user, password, database
	config.TLSConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} // who the member is, is not the question
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err == nil {
		cluster.CloseConn(conn)
	}
	return err
}

func pgCode(err error) string {
	refused := new(pgconn.PgError)
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}
