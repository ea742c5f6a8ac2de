package main

import (
	"context"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bookstore/patroni"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
)

// hostRules are the members' own rules for who comes in over the network, fit
// for a server without TLS on 127.0.0.1.
func hostRules(t *testing.T) (rules []string) {
	t.Helper()
	text, err := os.ReadFile("../../../patroni/patroni.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range regexp.MustCompile(`(?m)^ +- (hostssl .*)$`).FindAllStringSubmatch(string(text), -1) {
		rules = append(rules, strings.NewReplacer("hostssl", "host", "samenet", "127.0.0.1/32").Replace(line[1]))
	}
	if len(rules) < 5 {
		t.Fatalf("patroni.yml has only the rules %q", rules)
	}
	return rules
}

// Every login knocks at every database, through the members' own rules.
func TestOnlyWhoIsDeclaredComesIn(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	if err := run(context.Background(), environment(t, server, allLogins()), io.Discard); err != nil {
		t.Fatal(err)
	}
	server.Admit(t, hostRules(t)...)
	databases, guests := patroni.Databases(), patroni.Guests()
	allowed := map[string][]string{}
	for _, d := range databases {
		for _, login := range patroni.Logins([]patroni.Database{d}, guests) {
			allowed[login] = append(allowed[login], d.Name)
		}
	}
	for _, login := range patroni.Logins(databases, guests) {
		for _, name := range []string{"bookdb", "orderdb", "paymentdb", "coordinatordb", "postgres", "template1"} {
			_, err := dial(t, server, login, name, "")
			if slices.Contains(allowed[login], name) {
				if err != nil {
					t.Errorf("%s does not come into %s: %v", login, name, err)
				}
			} else if code := pg.Code(err); code != "28000" && code != "42501" { // refused at the door, or by the database
				t.Errorf("%s into %s: %v", login, name, err)
			}
		}
	}
}

func TestGuestsDoTheirWorkAndNothingElse(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := pgtest.Start(t, pgtest.Options{})
	if err := run(ctx, environment(t, server, allLogins()), io.Discard); err != nil {
		t.Fatal(err)
	}
	const refused, noStandby = "42501", "55000"
	for _, d := range patroni.Databases() {
		for login, expected := range map[string]map[string]string{
			"warehouse": {
				"select count(*) from public.goose_db_version": "",
				"select pg_wal_replay_pause()":                 noStandby, // it may, but there is nothing to pause
				"select pg_wal_replay_resume()":                noStandby,
				"delete from public.goose_db_version":          refused,
				"create table mine (id int)":                   refused,
				"select pg_promote()":                          refused,
				"set role " + d.Role:                           refused,
			},
			"exporter": {
				"select wal_status from pg_replication_slots":  "",
				"select count(query) from pg_stat_activity":    "",
				"select count(*) from public.goose_db_version": refused,
				"select pg_wal_replay_pause()":                 refused,
				"set role " + d.Role:                           refused,
			},
			d.Logins[0]: {
				"select pg_wal_replay_pause()":                 refused,
				"select count(*) from public.goose_db_version": refused,
				"set role warehouse":                           refused,
				"set role postgres":                            refused,
			},
		} {
			conn, err := dial(t, server, login, d.Name, "")
			if err != nil {
				t.Fatal(err)
			}
			for sql, want := range expected {
				if _, err := conn.Exec(ctx, sql); pg.Code(err) != want {
					t.Errorf("%s in %s: %s: %v", login, d.Name, sql, err)
				}
			}
		}
	}
}
