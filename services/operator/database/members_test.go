package database

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/patroni/rest"
	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/operatortest"
)

// answer is what a member of Patroni 4.1 says of a cluster whose API is at URL.
const answer = `{"members": [
	{"name": "patroni-1", "role": "quorum_standby", "state": "streaming", "api_url": "URL/patroni", "host": "10.0.0.2", "port": 5432,
	 "timeline": 7, "lag": 0, "receive_lag": 0, "replay_lag": 24},
	{"name": "patroni-0", "role": "leader", "state": "running", "api_url": "URL/patroni", "host": "10.0.0.1", "port": 5432, "timeline": 7},
	{"name": "patroni-2", "role": "quorum_standby", "state": "starting", "api_url": "URL/patroni", "host": "10.0.0.3", "port": 5432, "replay_lag": "unknown"},
	{"name": "patroni-3", "role": "replica", "state": "streaming", "api_url": "URL/patroni", "host": "10.0.0.4", "port": 5432, "timeline": 7, "replay_lag": 0}],
	"scope": "patroni"}`

func TestMembers(t *testing.T) {
	t.Parallel()
	members, err := parse([]byte(answer))
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	Show(console.Console{Out: &said}, members)
	want := `MEMBER     ROLE            STATE      TIMELINE  LAG       ADDRESS
patroni-0  leader          running    7         -         10.0.0.1:5432
patroni-1  quorum standby  streaming  7         24 bytes  10.0.0.2:5432
patroni-2  quorum standby  starting   -         unknown   10.0.0.3:5432
patroni-3  replica         streaming  7         0 bytes   10.0.0.4:5432
`
	if said.String() != want {
		t.Errorf("shown:\n%swant:\n%s", said.String(), want)
	}
	if !Led(members) || Led(members[1:]) {
		t.Error("who leads is not seen")
	}
}

func TestWhoMayLead(t *testing.T) {
	t.Parallel()
	members, err := parse([]byte(answer))
	if err != nil {
		t.Fatal(err)
	}
	for _, ask := range []struct {
		members []Member
		wanted  string
		want    string
		fails   string
	}{
		{members, "", "patroni-1", ""},
		{members, "patroni-1", "patroni-1", ""},
		{members, "patroni-0", "", "leads already"},
		{members, "patroni-2", "", "these can: patroni-1"}, // it is starting
		{members, "patroni-3", "", "these can: patroni-1"}, // no commit waits for it
		{members, "nix", "", "these can: patroni-1"},
		{members[1:], "", "", "no member leads"},
		{append(members[:1:1], members[2:]...), "", "", "no other member has everything"},
	} {
		leader, candidate, err := choose(ask.members, ask.wanted)
		switch {
		case ask.fails != "":
			if err == nil || !strings.Contains(err.Error(), ask.fails) {
				t.Errorf("to %q: %v, want %q", ask.wanted, err, ask.fails)
			}
		case err != nil || candidate != ask.want || leader.Name != "patroni-0":
			t.Errorf("to %q: from %s to %s, %v", ask.wanted, leader.Name, candidate, err)
		}
	}
}

// A member that does not answer is passed over; the leader is told with the password of its API.
func TestSwitchover(t *testing.T) {
	t.Parallel()
	c := operatortest.Start(t)
	out := console.Console{Out: io.Discard}
	if _, err := Members(t.Context(), c); err == nil || !strings.Contains(err.Error(), "'go tool task up'") {
		t.Errorf("without members: %v", err)
	}
	if _, err := c.Change(t.Context(), "patroni", func(items nomad.VariableItems) { items["rest_password"] = "secret" }); err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	refuse := false
	var url string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cluster" {
			_, _ = io.WriteString(w, strings.ReplaceAll(answer, "URL", url))
			return
		}
		user, password, _ := r.BasicAuth()
		if r.URL.Path != "/switchover" || user != "patroni" || password != "secret" || json.NewDecoder(r.Body).Decode(&told) != nil {
			t.Errorf("%s of %s", r.URL.Path, user)
		}
		if refuse {
			w.WriteHeader(http.StatusPreconditionFailed)
		}
		_, _ = io.WriteString(w, "what the leader says")
	}))
	asMember, err := rest.FromConsul(c.Consul)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: asMember.Certificates, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	url = server.URL
	// The first does not listen, the second is no member.
	announce(t, c, "patroni-rest", "dead", "127.0.0.1:1")
	stranger := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)
	announce(t, c, "patroni-rest", "else", stranger.Listener.Addr().String())
	announce(t, c, "patroni-rest", "lives", server.Listener.Addr().String())

	if err := Switchover(t.Context(), c, out, ""); err != nil || told["leader"] != "patroni-0" || told["candidate"] != "patroni-1" {
		t.Errorf("told %v, %v", told, err)
	}
	refuse = true
	if err := Switchover(t.Context(), c, out, "patroni-1"); err == nil || !strings.Contains(err.Error(), "what the leader says") || strings.Contains(err.Error(), "secret") {
		t.Errorf("refused: %v", err)
	}
}

// announce has Consul know an instance of a service.
func announce(t *testing.T, c *cluster.Cluster, service, id, address string) {
	t.Helper()
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	instance := &consul.AgentServiceRegistration{ID: id, Name: service, Address: host, Port: port, Meta: map[string]string{"status": address}}
	if err := c.Consul.Agent().ServiceRegister(instance); err != nil {
		t.Fatal(err)
	}
}
