package redis_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"bookstore/jobs/nomadtest"
	"bookstore/services/cache/coherence"
	"bookstore/services/gateway/limit"
	"bookstore/services/platform/meshtls"
)

// logins are users and their passwords.
type logins map[string]string

var passwords = logins{"gateway": "gate", "books": "shelf", "cluster": "peer"}

// items are what the variable of the job has of them.
func (l logins) items() map[string]string {
	items := map[string]string{}
	for user, password := range l {
		items[user+"_password"] = password
	}
	return items
}

// requireNothingRefused: what nodes and services do, they may.
func (c *cluster) requireNothingRefused() {
	c.t.Helper()
	for i, n := range c.nodes {
		entries, err := n.client.ACLLog(c.t.Context(), 10).Result()
		if err != nil {
			c.t.Fatal(err)
		}
		for _, e := range entries {
			c.t.Errorf("node %d refused %s of %s: %s", i, e.Object, e.Username, e.Reason)
		}
	}
}

// users is users.acl.tpl as Nomad renders it of a variable with these items.
func users(t *testing.T, items map[string]string) []byte {
	t.Helper()
	return nomadtest.Render(t, "users.acl.tpl", items, template.FuncMap{
		"sha256Hex": func(text string) string {
			sum := sha256.Sum256([]byte(text))
			return hex.EncodeToString(sum[:])
		},
	})
}

// near is a near tier that keeps nothing.
type near struct{}

func (near) Raise([]coherence.Floor) {}
func (near) Flush()                  {}

// Gateway and books do all that they do in Redis, and neither is refused anything.
func TestTheServicesMayDoWhatTheyDo(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.grow(6)
	c.requireWhole(time.Minute)
	gateway, books := c.connect("gateway"), c.connect("books")
	log := slog.New(slog.DiscardHandler)
	do := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}

	do("ping of the gateway", gateway.Ping(t.Context()))
	do("ping of books", books.Ping(t.Context()))
	follower := coherence.NewFollower(gateway, "gateway", near{}, log, nil)
	part := follower.Part()
	do("start the near tier", part.Start(t.Context()))
	c.eventually(10*time.Second, "the near tier has its lease", func(context.Context) error {
		if !follower.Live() {
			return errors.New("no lease yet")
		}
		return nil
	})
	shared := coherence.NewShared(gateway, nil)
	shared.Patience = time.Second
	_, token, err := shared.Lookup(t.Context(), 1)
	do("look a book up", err)
	stored, err := shared.Store(t.Context(), token, &coherence.Entry{BookID: 1, Version: 1, StockVersion: 1, Status: http.StatusOK, Body: []byte("{}"), FilledAt: time.Now()})
	do("store a book", err)
	copied, _, err := shared.Lookup(t.Context(), 1)
	do("look it up again", err)
	if !stored || copied == nil {
		t.Errorf("stored: %t, and then found: %+v", stored, copied)
	}
	do("announce a change", coherence.NewAnnouncer(books, log, nil).Announce(t.Context(), coherence.Floor{BookID: 1, Version: 2, StockVersion: 2}))
	_, err = shared.Stale(t.Context(), 1)
	do("read an old copy", err)
	replica, err := gateway.Cluster().SlaveForKey(t.Context(), "book:{1}")
	do("find a replica", err)
	do("read from a replica", replica.ReadOnly(t.Context()).Err())
	do("clear all caches", coherence.NewAnnouncer(gateway, log, nil).ClearAll(t.Context()))
	limiter := limit.New(limit.Options{Redis: gateway, Log: log})
	sweep := limiter.Part()
	do("start the limits", sweep.Start(t.Context()))
	for range 50 {
		_, err := limiter.Admit(t.Context(), "customer", limit.Limits{Rate: 100, Burst: 100, InFlight: 64})
		do("admit a request", err)
		limiter.Done("customer")
	}
	do("stop the limits", sweep.Stop(t.Context()))
	do("stop the near tier", part.Stop(t.Context()))
	c.requireNothingRefused()
}

// direct is a connection to one node alone, with a certificate of the mesh or without.
func (c *cluster) direct(n *node, user, password string, certified bool) *goredis.Client {
	c.t.Helper()
	trust, err := meshtls.Client(c.files.CA, "redis")
	if err == nil && certified {
		trust.Certificates, err = meshtls.Leaf(filepath.Join(n.dir, "secrets/tls/leaf.pem"))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	client := goredis.NewClient(&goredis.Options{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port)), Username: user, Password: password, TLSConfig: trust,
		MaxRetries: -1, DialerRetries: 1, PoolSize: 1, DisableIdentity: true,
	})
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}

// single is a cluster of one node, which answers.
func single(t *testing.T) (*cluster, *node) {
	t.Helper()
	c := newCluster(t)
	c.grow(1)
	n := c.nodes[0]
	c.eventually(10*time.Second, "the server answers", func(ctx context.Context) error { return n.client.Ping(ctx).Err() })
	return c, n
}

// refusal is how Redis refuses a command, also within a script.
var refusal = regexp.MustCompile(`^NOPERM|command (is )?not allowed|user executing the script can't`)

// Who has no certificate of the mesh gets no answer, who is no user gets no further, and a service no further than its keys.
func TestWhoMayNotIsRefused(t *testing.T) {
	t.Parallel()
	c, n := single(t)
	err := c.direct(n, "gateway", passwords["gateway"], false).Ping(t.Context()).Err()
	if alert := tls.AlertError(0); err == nil || !errors.As(err, &alert) && !strings.Contains(err.Error(), "remote error: tls") {
		t.Errorf("without a certificate: %v", err)
	}
	for _, who := range []struct{ user, password, want string }{
		{"", "", "NOAUTH"},
		{"default", "", "NOAUTH"},
		{"default", "redistest", "WRONGPASS"},
		{"gateway", passwords["books"], "WRONGPASS"},
		{"stranger", "gate", "WRONGPASS"},
	} {
		if err := c.direct(n, who.user, who.password, true).Ping(t.Context()).Err(); err == nil || !strings.HasPrefix(err.Error(), who.want) {
			t.Errorf("%q with %q: %v, want %s", who.user, who.password, err, who.want)
		}
	}
	for _, service := range []string{"gateway", "books"} {
		client := c.direct(n, service, passwords[service], true)
		for _, command := range []string{
			"flushall", "flushdb", "config get *", "config set maxmemory 1", "keys *", "shutdown nosave", "debug sleep 0", "acl list",
			"acl setuser " + service + " allkeys", "acl whoami", "info", "info all", "cluster meet 127.0.0.1 1", "cluster failover",
			"client list", "monitor", "replicaof no one", "psync ? -1", "migrate h 1 k 0 1", "save",
			"get book:{1}", "hget {other}:key f", "hset patroni f v", "subscribe near", "function load x",
			"eval return(redis.call('config','get','*')) 0", "eval return(redis.call('hget','secret','f')) 0", "script flush", "swapdb 0 1",
		} {
			var words []any
			for word := range strings.FieldsSeq(command) {
				words = append(words, word)
			}
			err := client.Do(t.Context(), words...).Err()
			if err == nil || !refusal.MatchString(err.Error()) {
				t.Errorf("%s may %s: %v", service, command, err)
			}
		}
	}
	err = c.direct(n, "books", passwords["books"], true).HGet(t.Context(), "limit:{customer}", "level").Err()
	if err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
		t.Errorf("books read a limit: %v", err)
	}
	c.eventually(10*time.Second, "the node's log names what was refused", func(context.Context) error {
		log := string(read(t, filepath.Join(n.dir, "log")))
		for _, want := range []string{`"user":"gateway","object":"flushall"`, `"user":"stranger","object":"auth"`, `"user":"books","object":"limit:{customer}"`} {
			if !strings.Contains(log, want) {
				return errors.New("no " + want)
			}
		}
		return nil
	})
}

// Passwords and users change while the server runs, and no connection ends.
func TestUsersChangeWhileTheServerRuns(t *testing.T) {
	t.Parallel()
	c, n := single(t)
	before := c.direct(n, "gateway", "gate", true)
	enters := func(user, password string) error { return c.direct(n, user, password, true).Ping(t.Context()).Err() }
	for _, step := range []struct {
		name       string
		items      map[string]string
		may, maynt [][2]string
	}{
		{"a second password", map[string]string{"gateway_other": "new"}, [][2]string{{"gateway", "gate"}, {"gateway", "new"}, {"books", "shelf"}}, [][2]string{{"default", "x"}}},
		{"the second alone", map[string]string{"gateway_password": "new"}, [][2]string{{"gateway", "new"}}, [][2]string{{"gateway", "gate"}}},
		{"everybody is the user default", map[string]string{"password": "old"}, [][2]string{{"default", "old"}, {"gateway", "gate"}}, [][2]string{{"default", "x"}, {"gateway", "new"}}},
		{"nobody is any more", nil, [][2]string{{"gateway", "gate"}}, [][2]string{{"default", "old"}}},
	} {
		items := passwords.items()
		maps.Copy(items, step.items)
		if err := os.WriteFile(filepath.Join(n.dir, "secrets/redis/users.acl"), users(t, items), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := c.command(n, "reload").CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", step.name, err, out)
		}
		for _, login := range step.may {
			if err := enters(login[0], login[1]); err != nil {
				t.Errorf("%s: %s with %s: %v", step.name, login[0], login[1], err)
			}
		}
		for _, login := range step.maynt {
			if err := enters(login[0], login[1]); err == nil || !strings.HasPrefix(err.Error(), "WRONGPASS") {
				t.Errorf("%s: %s with %s: %v", step.name, login[0], login[1], err)
			}
		}
		if err := before.Ping(t.Context()).Err(); err != nil {
			t.Errorf("%s: the connection from before: %v", step.name, err)
		}
		if stats := before.PoolStats(); stats.Misses != 1 {
			t.Errorf("%s: the connection from before was made anew: %+v", step.name, stats)
		}
	}
	out, err := c.command(n, "users").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "user default off") || !strings.Contains(string(out), "\ntls-auth-clients yes\n") || strings.Contains(string(out), "gate ") {
		t.Errorf("users: %v\n%s", err, out)
	}
}
