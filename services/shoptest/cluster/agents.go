package cluster

import (
	"os"
	"strings"
	"sync"
	"testing"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"
)

// Where the shop is on its machine.
const (
	State  = "/var/lib/bookstore"  // its data and that of the agents
	Access = State + "/access"     // keys and tokens
	Logs   = "/var/log/bookstore"  // what its parts log
	Tools  = "/opt/bookstore/bin/" // nomad and consul among them
)

// Operator are the settings of the commands nomad and consul: addresses, CA and tokens.
func Operator(t testing.TB) map[string]string {
	t.Helper()
	text, err := os.ReadFile(Access + "/operator.env")
	if err != nil {
		t.Fatalf("the tests of the running shop need root, and a shop ('go tool task up'): %v", err)
	}
	settings := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		settings[name] = value
	}
	return settings
}

// agents are clients for all, as an operator has them: each keeps connections of its own, and the agent allows one
// address a bounded number.
var agents struct {
	sync.Mutex
	nomad  *nomad.Client
	consul *consul.Client
}

func open(t testing.TB) (*nomad.Client, *consul.Client) {
	t.Helper()
	agents.Lock()
	defer agents.Unlock()
	if agents.consul != nil {
		return agents.nomad, agents.consul
	}
	s := Operator(t)
	var err error
	agents.nomad, err = nomad.NewClient(&nomad.Config{
		Address: s["NOMAD_ADDR"], SecretID: s["NOMAD_TOKEN"], TLSConfig: &nomad.TLSConfig{CACert: s["NOMAD_CACERT"]},
	})
	if err != nil {
		t.Fatal(err)
	}
	agents.consul, err = consul.NewClient(&consul.Config{
		Address: s["CONSUL_HTTP_ADDR"], Token: s["CONSUL_HTTP_TOKEN"], TLSConfig: consul.TLSConfig{CAFile: s["CONSUL_CACERT"]},
	})
	if err != nil {
		t.Fatal(err)
	}
	return agents.nomad, agents.consul
}

// Reopen has the clients act with the keys that the operator has now.
func Reopen() {
	agents.Lock()
	defer agents.Unlock()
	agents.nomad, agents.consul = nil, nil
}

// Consul is a client of the agent on this machine.
func Consul(t testing.TB) *consul.Client {
	t.Helper()
	_, c := open(t)
	return c
}

// Nomad is a client of the agent on this machine.
func Nomad(t testing.TB) *nomad.Client {
	t.Helper()
	n, _ := open(t)
	return n
}
