package cluster

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest/hosts"
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
	text, err := read(t, Access+"/operator.env")
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

// read reads a file of the shop's machine, or of one of the lab's.
func read(t testing.TB, path string) ([]byte, error) {
	t.Helper()
	if hosts.InUse() {
		return hosts.Read(context.WithoutCancel(t.Context()), path) // also when the test ends
	}
	return os.ReadFile(path)
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
	ca, err := read(t, s["NOMAD_CACERT"])
	if err != nil {
		t.Fatal(err)
	}
	agents.nomad, err = nomad.NewClient(&nomad.Config{
		Address: s["NOMAD_ADDR"], SecretID: s["NOMAD_TOKEN"], HttpClient: nomadHTTP(t, ca),
	})
	if err != nil {
		t.Fatal(err)
	}
	agents.consul, err = consul.NewClient(&consul.Config{
		Address: s["CONSUL_HTTP_ADDR"], Token: s["CONSUL_HTTP_TOKEN"], TLSConfig: consul.TLSConfig{CAPem: ca}, Transport: transport(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return agents.nomad, agents.consul
}

func nomadHTTP(t testing.TB, ca []byte) *http.Client {
	t.Helper()
	own := transport()
	own.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	client := &http.Client{Transport: own}
	if err := nomad.ConfigureTLS(client, &nomad.TLSConfig{CACertPEM: ca}); err != nil {
		t.Fatal(err)
	}
	return client
}

// transport reaches the agents of this machine, or of one of the lab's. It speaks HTTP/1.1 alone: Nomad's exec is no HTTP/2.
func transport() *http.Transport {
	dial := (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	if hosts.InUse() {
		dial = hosts.Dial
	}
	return &http.Transport{DialContext: dial, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 8}
}

// Reopen has the clients connect anew: with the keys that the operator has now, to a machine that is sound.
func Reopen() {
	agents.Lock()
	defer agents.Unlock()
	agents.nomad, agents.consul = nil, nil
}

// Consul is a client of the agent on this machine, or on one of the lab's.
func Consul(t testing.TB) *consul.Client {
	t.Helper()
	_, c := open(t)
	return c
}

// Nomad is a client of the agent on this machine, or on one of the lab's.
func Nomad(t testing.TB) *nomad.Client {
	t.Helper()
	n, _ := open(t)
	return n
}
