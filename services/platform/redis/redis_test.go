package redis_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bookstore/services/platform/dial/blackhole"
	"bookstore/services/platform/redis"
	"bookstore/services/platform/redis/redistest"
	"bookstore/services/platform/wait/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, redistest.LateDials()) }

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, c redis.Config) *redis.Client {
	t.Helper()
	client, err := redis.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestTheClusterIsReachedWithThePasswordOfTheFile(t *testing.T) {
	client := open(t, redistest.Config(t, redistest.Cluster(t)))
	if err := client.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := client.Cluster().Set(t.Context(), "key", "value", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Cluster().Get(t.Context(), "key").Result(); err != nil || got != "value" {
		t.Errorf("read back %q, %v", got, err)
	}
}

// leaf is a certificate and its key in one file.
func leaf(t *testing.T, files redistest.PEM) string {
	t.Helper()
	var text []byte
	for _, path := range []string{files.Cert, files.Key} {
		part, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, part...)
	}
	return string(text)
}

func TestTheMeshIsTrustedAndOnlyTheNamedService(t *testing.T) {
	addr, files := redistest.ClusterTLS(t, "redis")
	c := redistest.Config(t, addr)
	c.CAFile, c.TLSService, c.LeafFile = files.CA, "redis", filepath.Join(t.TempDir(), "leaf.pem")
	write(t, c.LeafFile, leaf(t, files))
	if err := open(t, c).Ping(t.Context()); err != nil {
		t.Error(err)
	}
	c.TLSService = "postgres"
	if err := open(t, c).Ping(t.Context()); err == nil {
		t.Error("another service's certificate was accepted")
	}
}

func TestTheOwnCertificateIsReadForEachConnection(t *testing.T) {
	addr, files := redistest.ClusterTLS(t, "redis")
	c := redistest.Config(t, addr)
	c.CAFile, c.TLSService = files.CA, "redis"
	if err := open(t, c).Ping(t.Context()); err == nil {
		t.Error("the server takes a client without a certificate")
	}
	c.LeafFile = filepath.Join(t.TempDir(), "leaf.pem")
	client := open(t, c)
	for name, content := range map[string]string{
		"none": "", "not a certificate": "leaf", "of another authority": leaf(t, redistest.Certificates(t, "redis")),
	} {
		write(t, c.LeafFile, content)
		if err := client.Ping(t.Context()); err == nil {
			t.Errorf("served with the certificate %s", name)
		}
	}
	write(t, c.LeafFile, leaf(t, files))
	waittest.EventuallyNil(t, "the new certificate is shown", client.Ping)
	write(t, c.LeafFile, "")
	if err := client.Ping(t.Context()); err != nil {
		t.Errorf("a connection ended with its certificate's file: %v", err)
	}
}

func TestMembersThatMovedAreFoundWithoutARestart(t *testing.T) {
	c := redistest.Config(t, "127.0.0.1:1")
	client := open(t, c)
	if err := client.Ping(t.Context()); err == nil {
		t.Fatal("nobody should be there yet")
	}
	write(t, c.MembersFile, redistest.Cluster(t)+"\n")
	waittest.EventuallyNil(t, "the new member is found", client.Ping)
}

func TestAMissingMemberFileIsAnError(t *testing.T) {
	if _, err := redis.Open(redis.Config{MembersFile: filepath.Join(t.TempDir(), "absent")}); err == nil {
		t.Error("opened without members")
	}
}

// A node whose host vanished delays no caller that has another node, and nobody for
// longer than a few tries where there is none.
func TestANodeThatVanishedHoldsNobody(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { // go-redis goes on dialing in the background, until the dial's time is over
		for range 10 {
			if goleak.Find(before, redistest.LateDials()) == nil {
				return
			}
		}
		t.Error("a closed client still dials")
	})
	server := redistest.Cluster(t)
	gone := blackhole.New(t, server)
	gone.Vanish(t)
	c := redistest.Config(t, gone.Addr())
	began := time.Now()
	if err := open(t, c).Ping(t.Context()); err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("a vanished node alone: %v after %s", err, time.Since(began))
	}
	write(t, c.MembersFile, gone.Addr()+"\n"+server+"\n")
	began = time.Now()
	if err := open(t, c).Cluster().Set(t.Context(), "key", "value", time.Minute).Err(); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("a vanished node beside another: %v after %s", err, time.Since(began))
	}
}
