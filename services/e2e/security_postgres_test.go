//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// What PostgreSQL answers to who may not come in, or not do what was asked.
const (
	noRule        = "28000"
	wrongPassword = "28P01"
	notAllowed    = "42501"
)

// sqlState is the code of an error of PostgreSQL's, or empty.
func sqlState(err error) string {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return refused.Code
	}
	return ""
}

// members are PostgreSQL's, and the one that leads.
func members(t *testing.T) (all []cluster.Member, leader cluster.Member) {
	t.Helper()
	all, err := cluster.Members(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.Leads() {
			leader = m
		}
	}
	if leader.Name == "" {
		t.Fatalf("nobody leads: %+v", all)
	}
	return all, leader
}

// login connects to a member over the network as an attacker does, who does not mind whose certificate it sees.
func login(t *testing.T, m cluster.Member, user, password, database string, own ...tls.Certificate) (*pgx.Conn, error) {
	t.Helper()
	cfg, err := pgx.ParseConfig("connect_timeout=10")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Host, cfg.Port, cfg.User, cfg.Password, cfg.Database, cfg.Fallbacks = m.Host, uint16(m.Port), user, password, database, nil
	cfg.TLSConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, Certificates: own}
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err == nil {
		t.Cleanup(func() { cluster.CloseConn(conn) })
	}
	return conn, err
}

// secrets are the items of a job's variable.
func secrets(t *testing.T, job string) map[string]string {
	t.Helper()
	items, _, err := cluster.Nomad(t).Variables().GetVariableItems("nomad/jobs/"+job, nil)
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// The superuser has no password, and no member lets it in over the network, whatever it shows.
func TestAttackPostgresAsTheSuperuser(t *testing.T) {
	all, _ := members(t)
	gateway := certificate(t, "gateway")
	for _, m := range all {
		for _, database := range []string{"postgres", "bookdb", "template1"} {
			if _, err := login(t, m, "postgres", "", database, gateway); sqlState(err) != noRule {
				t.Errorf("the superuser into %s of %s: %v", database, m.Name, err)
			}
		}
		for user, database := range map[string]string{"replicator": "postgres", "rewind": "postgres", "bookdb_a": "bookdb"} {
			if _, err := login(t, m, user, "a guess", database, gateway); sqlState(err) != noRule && sqlState(err) != wrongPassword {
				t.Errorf("%s without its password into %s: %v", user, m.Name, err)
			}
		}
	}
	conn := cluster.Leader(t, "postgres")
	if n := cluster.Number(t, conn, "select count(*) from pg_authid where rolsuper and rolcanlogin and (rolpassword is not null or rolname <> 'postgres')"); n != 0 {
		t.Errorf("%d superusers have a password, or are others than postgres", n)
	}
}

// Whoever has a service's login reads and writes that service's rows, and no more.
func TestAttackPostgresWithAServicesLogin(t *testing.T) {
	_, leader := members(t)
	databases := map[string]string{"books": "bookdb", "orders": "orderdb", "payments": "paymentdb", "coordinator": "coordinatordb"}
	for service, database := range databases {
		own := secrets(t, service)
		conn, err := login(t, leader, own["db_user"], own["db_password"], database)
		if err != nil {
			t.Fatalf("%s: %v", service, err)
		}
		exec := func(sql string) error {
			_, err := conn.Exec(t.Context(), sql)
			return err
		}
		if err := exec("set role " + database + "_owner"); err != nil {
			t.Fatal(err)
		}
		if err := exec("select from warehouse_gone limit 1"); err != nil {
			t.Errorf("%s does not read its own: %v", service, err)
		}
		for _, sql := range []string{
			"create table attack (id int)", "create temporary table attack (id int)", "create schema attack",
			"create function attack() returns int language sql as 'select 1'", "create extension dblink",
			"alter table warehouse_gone add column attack int", "drop table warehouse_gone", "truncate warehouse_gone",
			"alter table warehouse_gone disable trigger all", "drop schema public cascade",
			"create or replace function warehouse_changed() returns trigger language plpgsql as 'begin return new; end'",
			"copy warehouse_gone to program 'id'", "select pg_read_file('postgresql.conf')", "select rolpassword from pg_authid",
			"alter role current_user superuser", "set role postgres", "set role " + database + "_schema", "set role warehouse",
			"set session_replication_role = replica",
		} {
			// Should it be allowed after all, nothing is left of it.
			err := errors.Join(exec("begin"), exec("set local lock_timeout = '100ms'"))
			if denied := exec(sql); err != nil || sqlState(denied) != notAllowed {
				t.Errorf("%s: %s: %v, %v", service, sql, err, denied)
			}
			if err := exec("rollback"); err != nil {
				t.Fatal(err)
			}
		}
		for _, other := range databases {
			if other == database {
				continue
			}
			if _, err := login(t, leader, own["db_user"], own["db_password"], other); sqlState(err) != noRule {
				t.Errorf("%s comes into %s: %v", service, other, err)
			}
			if err := exec("set role " + other + "_owner"); sqlState(err) != notAllowed {
				t.Errorf("%s becomes %s_owner: %v", service, other, err)
			}
		}
	}
}

// relay stands where a member should: it shows the gateway's certificate, and passes everything on to the leader. strip
// hides that the leader could bind the login to its certificate.
func relay(t *testing.T, leader cluster.Member, strip bool) (port int) {
	t.Helper()
	// Members reach no other ports than those that Nomad gives to each other.
	var listener net.Listener
	err := errors.New("no port is free")
	for port := 20000; err != nil && port < 32000; port++ {
		listener, err = net.Listen("tcp", net.JoinHostPort(leader.Host, strconv.Itoa(port)))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	stolen := certificate(t, "gateway")
	go func() {
		for {
			victim, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer victim.Close()
				_ = victim.SetDeadline(time.Now().Add(20 * time.Second))
				_ = between(victim, stolen, net.JoinHostPort(leader.Host, strconv.Itoa(leader.Port)), strip)
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// between answers the victim's request for TLS, makes one of its own, and copies both ways until one end closes.
func between(victim net.Conn, stolen tls.Certificate, leader string, strip bool) error {
	request := make([]byte, 8)
	if _, err := io.ReadFull(victim, request); err != nil {
		return err
	}
	if _, err := victim.Write([]byte("S")); err != nil {
		return err
	}
	in := tls.Server(victim, &tls.Config{Certificates: []tls.Certificate{stolen}, MinVersion: tls.VersionTLS12})
	conn, err := net.DialTimeout("tcp", leader, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write(request); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return err
	}
	out := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	go func() {
		_, _ = io.Copy(out, in)
		_ = conn.Close()
	}()
	if strip {
		message := make([]byte, 1024)
		n, err := out.Read(message)
		if err != nil {
			return err
		}
		const bound = "SCRAM-SHA-256-PLUS\x00"
		if message = message[:n]; bytes.Contains(message, []byte(bound)) {
			message = bytes.Replace(message, []byte(bound), nil, 1)
			message[4] = byte(len(message) - 1) // what follows the message's type
		}
		if _, err := in.Write(message); err != nil {
			return err
		}
	}
	_, err = io.Copy(in, out)
	return err
}

// Who has stolen the certificate of another service, and stands between two members, learns nothing and changes nothing: the
// members' logins are bound to the certificate that the server shows. Without that the attack succeeds.
func TestAttackPostgresBetweenMembers(t *testing.T) {
	all, leader := members(t)
	var replica cluster.Member
	for _, m := range all {
		if !m.Leads() {
			replica = m
		}
	}
	password := secrets(t, "patroni")["rewind_password"]
	through := func(strip bool, binding string) (string, error) {
		dsn := fmt.Sprintf("host=%s port=%d user=rewind dbname=postgres sslmode=verify-ca sslrootcert=/secrets/tls/ca.pem channel_binding=%s",
			leader.Host, relay(t, leader, strip), binding)
		return cluster.Command("docker", "exec", "--env", "PGPASSWORD="+password, replica.Container(), "psql", dsn, "-Atc", "select 'in'")
	}
	if said, err := through(true, "disable"); err != nil || said != "in" {
		t.Fatalf("the attack cannot be tried: %s, %v", said, err)
	}
	for _, strip := range []bool{false, true} {
		if said, err := through(strip, "require"); err == nil {
			t.Errorf("strip %t: the member takes the gateway for a member: %s", strip, said)
		}
	}
	for _, m := range all {
		settings, err := cluster.Command("docker", "exec", m.Container(), "psql", "-Atc", "show primary_conninfo")
		if err != nil || !m.Leads() && (!strings.Contains(settings, "channel_binding=require") || !strings.Contains(settings, "sslmode=verify-ca")) {
			t.Errorf("%s follows its leader by %q, %v", m.Name, settings, err)
		}
	}
}

// Patroni answers members, and neither who has no certificate nor who has another service's.
func TestAttackPatroniWithoutAMembersCertificate(t *testing.T) {
	all, _ := members(t)
	for _, m := range all {
		address := strings.TrimSuffix(m.APIURL, "/patroni")
		if !strings.HasPrefix(address, "https://") {
			t.Errorf("%s is asked in clear: %s", m.Name, address)
		}
		for who, own := range map[string][]tls.Certificate{"nobody": nil, "the gateway": {certificate(t, "gateway")}} {
			for _, path := range []string{"/", "/cluster", "/config", "/metrics", "/patroni", "/readiness"} {
				transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, Certificates: own}}
				answer, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get(address + path)
				transport.CloseIdleConnections()
				if err == nil {
					_ = answer.Body.Close()
					t.Errorf("%s answers %s to %s: %s", m.Name, path, who, answer.Status)
				}
			}
		}
		answer, err := (&http.Client{Timeout: 10 * time.Second}).Get(strings.Replace(address, "https", "http", 1) + "/cluster")
		if err == nil {
			_ = answer.Body.Close()
			t.Errorf("%s answers in clear: %s", m.Name, answer.Status)
		}
		answer, err = cluster.Patroni(t).Get(address + "/cluster")
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s does not answer a member: %v, %v", m.Name, answer, err)
		}
		_ = answer.Body.Close()
	}
}

// What a superuser does is in the log, and what services do is not; no value of theirs and no password is.
func TestAttackPostgresUnseen(t *testing.T) {
	_, leader := members(t)
	read := func() string {
		t.Helper()
		files, err := filepath.Glob(fmt.Sprintf("%s/nomad/alloc/%s/alloc/logs/patroni.std*", cluster.State, leader.Alloc))
		var all strings.Builder
		for _, file := range files {
			text, failed := os.ReadFile(file)
			err = errors.Join(err, failed)
			all.Write(text)
		}
		if err != nil || len(files) < 2 {
			t.Fatalf("logs %q: %v", files, err)
		}
		return all.String()
	}
	mine, theirs, value := "by-the-superuser-"+rand.Text(), "by-a-service-"+rand.Text(), "a-value-"+rand.Text()
	if _, err := cluster.Leader(t, "bookdb").Exec(t.Context(), "select '"+mine+"' from books limit 1"); err != nil {
		t.Fatal(err)
	}
	own := secrets(t, "books")
	conn, err := login(t, leader, own["db_user"], own["db_password"], "bookdb")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "set role bookdb_owner"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "update books set title = title where title = '"+theirs+"'"); err != nil {
		t.Fatal(err)
	}
	const slow, fails = "select pg_sleep(1.1), $1::text as slow_statement", "select length($1::text) / 0 as failed_statement"
	if _, err := conn.Exec(t.Context(), slow, value); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), fails, value); err == nil {
		t.Fatal("it should fail")
	}
	shoptest.Eventually(t, 20*time.Second, "the log has what happened", func(context.Context) error {
		text := read()
		for _, part := range []string{mine, "slow_statement", "failed_statement"} {
			if !strings.Contains(text, part) {
				return fmt.Errorf("there is no %q", part)
			}
		}
		return nil
	})
	text := read()
	for line := range strings.Lines(text) {
		if strings.Contains(line, mine) && !strings.Contains(line, "AUDIT: SESSION") {
			t.Errorf("not the audit's: %s", line)
		}
		// The lines of a parallel worker name nobody; it has the settings of the session that it works for.
		who, _, audited := strings.Cut(line, "LOG:  AUDIT: SESSION")
		if audited && strings.Contains(who, "@") && !strings.Contains(who, "postgres@") {
			t.Errorf("audited, and no superuser's: %s", line)
		}
	}
	for _, part := range []string{theirs, value} {
		if strings.Contains(text, part) {
			t.Errorf("the log has %s", part)
		}
	}
	for _, job := range []string{"patroni", "migrate", "books", "orders", "payments", "coordinator", "warehouse"} {
		for key, secret := range secrets(t, job) {
			if len(secret) >= 32 && strings.Contains(text, secret) {
				t.Errorf("the log has %s of %s", key, job)
			}
		}
	}
}
