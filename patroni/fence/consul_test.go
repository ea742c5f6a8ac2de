package fence_test

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"bookstore/patroni/fence"
	"bookstore/services/platform/wait/waittest"
)

// startConsul runs a Consul of the test's own, without anything that it might share.
func startConsul(t *testing.T) *api.Client {
	t.Helper()
	ports := map[string]string{}
	for _, name := range []string{"http", "server", "serf-lan"} {
		listener := listen(t)
		ports[name] = strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
		listener.Close()
	}
	cmd := exec.Command(consul(t), "agent", "-dev", "-log-level=warn", "-bind=127.0.0.1", "-client=127.0.0.1",
		"-http-port="+ports["http"], "-server-port="+ports["server"], "-serf-lan-port="+ports["serf-lan"],
		"-serf-wan-port=-1", "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	client, err := api.NewClient(&api.Config{Address: "127.0.0.1:" + ports["http"]})
	if err != nil {
		t.Fatal(err)
	}
	waittest.EventuallyNil(t, "Consul has a leader", func(context.Context) error {
		leader, err := client.Status().Leader()
		if err == nil && leader == "" {
			err = errors.New("Consul has no leader")
		}
		return err
	})
	return client
}

// consul finds the binary that the provision scripts built or found.
func consul(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"/opt/bookstore/bin/consul", "consul"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("consul is neither in /opt/bookstore/bin nor on the PATH: vagrant/provision installs it")
	return ""
}

// session makes one as Patroni does.
func session(t *testing.T, client *api.Client, name string) (id string) {
	t.Helper()
	// Consul knows its own node a moment after it has a leader.
	waittest.EventuallyNil(t, "Consul makes a session", func(context.Context) (err error) {
		id, _, err = client.Session().CreateNoChecks(&api.SessionEntry{Name: name, TTL: "10s", LockDelay: time.Millisecond, Behavior: api.SessionBehaviorDelete}, nil)
		return err
	})
	return id
}

// lead gives a member the leader's key.
func lead(t *testing.T, client *api.Client, member, session string) {
	t.Helper()
	pair := &api.KVPair{Key: "service/patroni/leader", Value: []byte(member), Session: session}
	// Consul holds a key back for the lock delay of the session that had it.
	waittest.EventuallyNil(t, member+" gets the leader's key", func(context.Context) error {
		got, _, err := client.KV().Acquire(pair, nil)
		if err == nil && !got {
			err = errors.New("somebody else has it")
		}
		return err
	})
}

func leader(t *testing.T, client *api.Client) string {
	t.Helper()
	pair, _, err := client.KV().Get("service/patroni/leader", nil)
	if err != nil {
		t.Fatal(err)
	}
	if pair == nil {
		return ""
	}
	return string(pair.Value)
}

// word is what Release left of the sessions of a member that it ended, sorted.
func word(t *testing.T, client *api.Client, member string) []string {
	t.Helper()
	pair, _, err := client.KV().Get("service/patroni/ended/"+member, nil)
	if err != nil || pair == nil {
		t.Fatalf("no word is left: %v", err)
	}
	return slices.Sorted(strings.FieldsSeq(string(pair.Value)))
}

func TestReleaseEndsTheMembersSessionsAlone(t *testing.T) {
	t.Parallel()
	client := startConsul(t)
	own := []string{session(t, client, "patroni-patroni-1"), session(t, client, "patroni-patroni-1")}
	lead(t, client, "patroni-1", own[0])
	others := []string{session(t, client, "patroni-patroni-10"), session(t, client, "other-patroni-1")}
	sessions := fence.ConsulSessions{Client: client, Scope: "patroni", Member: "patroni-1"}

	if leads, err := sessions.Leads(t.Context()); !leads || err != nil {
		t.Errorf("patroni-1 leads: %t, %v", leads, err)
	}
	if ended, err := sessions.Release(t.Context()); ended != 2 || err != nil {
		t.Errorf("%d sessions ended, want 2: %v", ended, err)
	}
	if leads, err := sessions.Leads(t.Context()); leads || err != nil {
		t.Errorf("after its end patroni-1 leads: %t, %v", leads, err)
	}
	if who := leader(t, client); who != "" {
		t.Errorf("the leader's key still says %s", who)
	}
	if got, want := word(t, client, "patroni-1"), slices.Sorted(slices.Values(own)); !slices.Equal(got, want) {
		t.Errorf("word is left of the sessions %v, want %v", got, want)
	}
	for _, id := range others {
		if entry, _, err := client.Session().Info(id, nil); entry == nil || err != nil {
			t.Errorf("another's session is gone: %v", err)
		}
	}
	// Another's key is not the member's.
	lead(t, client, "patroni-10", others[0])
	if leads, err := sessions.Leads(t.Context()); leads || err != nil {
		t.Errorf("while patroni-10 leads, patroni-1 does: %t, %v", leads, err)
	}
}
