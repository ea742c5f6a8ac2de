//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// redisLogin is the login of a user of Redis.
func redisLogin(t *testing.T, user string) cluster.RedisLogin {
	t.Helper()
	login, err := cluster.RedisUser(t.Context(), t, user)
	if err != nil {
		t.Fatal(err)
	}
	return login
}

// Without a certificate of the mesh a node gives no answer, whatever one knows; with one, but without a user, none but that.
func TestAttackRedisWithoutACertificateOrAUser(t *testing.T) {
	gateway := redisLogin(t, "gateway")
	noCertificate, otherUser, noUser := gateway, gateway, gateway
	noCertificate.Shown = nil
	otherUser.User, otherUser.Password = "default", gateway.Password
	noUser.User, noUser.Password = "", ""
	cluster.EachRedis(t, func(at string, _ *goredis.Client) {
		for name, attack := range map[string]struct {
			login cluster.RedisLogin
			want  string
		}{
			"no certificate":    {noCertificate, "remote error: tls: "},
			"the user default":  {otherUser, "WRONGPASS"},
			"no user":           {noUser, "NOAUTH"},
			"a sidecar's proof": {cluster.RedisLogin{Shown: []tls.Certificate{certificate(t, "orders")}}, "NOAUTH"},
		} {
			client := cluster.RedisAt(at, attack.login)
			err := client.Get(t.Context(), "book:{1}").Err()
			_ = client.Close()
			if err == nil || !strings.Contains(err.Error(), attack.want) {
				t.Errorf("%s to %s: %v, want %s", at, name, err, attack.want)
			}
		}
	})
}

// attacker is what an attacker's connection is called, so that Redis' log tells it from those of the services.
const attacker = "attacker"

// refusedByRedis is how Redis refuses a command, also within a script.
var refusedByRedis = regexp.MustCompile(`^NOPERM|command (is )?not allowed|user executing the script can't`)

// Whoever has broken into a service, with its password and its certificate, does in Redis what the service does, and
// every other attempt is refused and seen.
func TestAttackRedisAsAService(t *testing.T) {
	allocation := cluster.Running(t, "redis")[0].ID
	at := cluster.RedisAddress(t, allocation)
	for _, service := range []string{"gateway", "books"} {
		login := redisLogin(t, service)
		client := cluster.RedisAt(at, cluster.RedisLogin{Shown: login.Shown})
		defer client.Close()
		conn := client.Conn()
		defer conn.Close()
		if err := conn.Do(t.Context(), "hello", "2", "auth", login.User, login.Password, "setname", attacker).Err(); err != nil {
			t.Fatalf("%s: %v", service, err)
		}
		attacks := []string{
			"flushall", "flushdb", "config get *", "config set requirepass x", "keys *", "shutdown nosave", "acl list",
			"acl setuser " + service + " allkeys", "client list", "monitor", "replicaof no one", "psync ? -1", "info",
			"cluster meet 127.0.0.1 1", "cluster failover", "cluster reset", "debug sleep 0", "migrate 127.0.0.1 1 k 0 1",
			"get book:{1}", "hget secret f", "hset secret f v", "subscribe near", "function list", "script flush",
			"eval return(redis.call('config','get','*')) 0", "eval return(redis.call('hget','secret','f')) 0",
		}
		if service == "books" {
			attacks = append(attacks, "hgetall limit:{x}", "scan 0")
		}
		for _, attack := range attacks {
			var words []any
			for word := range strings.FieldsSeq(attack) {
				words = append(words, word)
			}
			if err := conn.Do(t.Context(), words...).Err(); err == nil || !refusedByRedis.MatchString(err.Error()) {
				t.Errorf("%s may %s: %v", service, attack, err)
			}
		}
	}
	shoptest.Eventually(t, 15*time.Second, "the log of the node names who was refused what", func(context.Context) error {
		files, err := filepath.Glob(fmt.Sprintf("%s/nomad/alloc/%s/alloc/logs/redis.stdout.*", cluster.State, allocation))
		var log strings.Builder
		for _, file := range files {
			text, failed := os.ReadFile(file)
			err = errors.Join(err, failed)
			log.Write(text)
		}
		for _, want := range []string{`"user":"gateway","object":"flushall"`, `"user":"books","object":"keys"`, `"user":"books","object":"limit:{x}"`} {
			if !strings.Contains(log.String(), want) {
				err = errors.Join(err, errors.New("no "+want))
			}
		}
		return err
	})
}

// What services show to Redis opens no door of the mesh.
func TestAttackTheMeshWithTheCachesCertificate(t *testing.T) {
	for caller, destination := range map[string]string{"gateway-cache": "books", "books-cache": "coordinator"} {
		status, body, err := through(t.Context(), t, sidecar(t, destination), http.MethodGet, "/ready", certificate(t, caller))
		if err != nil || status != http.StatusForbidden || !strings.Contains(body, "RBAC") {
			t.Errorf("%s calls %s: %d %s, %v", caller, destination, status, body, err)
		}
	}
}

// All that services and nodes do, their users may: Redis has refused none of them since it runs.
func TestRedisRefusesNothingOfTheShop(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	l := shoptest.StartEveryday(t)
	l.More(t, "", 200)
	l.RequireNoFailure(t)
	requireNothingRefused(t)
}

// redisUsers are all that have a password.
var redisUsers = []string{"gateway", "books", "cluster"}

// requireNothingRefused reads what each node has refused since it runs, but for attackers.
func requireNothingRefused(t *testing.T) {
	t.Helper()
	cluster.EachRedis(t, func(at string, client *goredis.Client) {
		entries, err := client.ACLLog(t.Context(), 128).Result()
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		for _, e := range entries {
			if slices.Contains(redisUsers, e.Username) && e.ClientInfo.Name != attacker {
				t.Errorf("%s refused %s of %s at %s, %d times: %s", at, e.Object, e.Username, e.ClientInfo.Addr, e.Count, e.Reason)
			}
		}
	})
}
