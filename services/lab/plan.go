package lab

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
)

// database is the one that a service works on.
var database = map[Service]string{
	Books: BookDB, Orders: OrderDB, Payments: PaymentDB, Coordinator: CoordinatorDB, Coordinator2: CoordinatorDB,
}

// calls are the services that a service calls, by the variable that says where.
var calls = map[Service]map[string]Service{
	Books:        {"COORDINATOR_URL": Coordinator},
	Orders:       {"COORDINATOR_URL": Coordinator},
	Coordinator:  {"BOOKS_URL": Books, "ORDERS_URL": Orders, "PAYMENTS_URL": Payments},
	Coordinator2: {"BOOKS_URL": Books, "ORDERS_URL": Orders, "PAYMENTS_URL": Payments},
}

// program is the command that a service runs.
func program(name Service) string {
	if name == Coordinator2 {
		return string(Coordinator)
	}
	return string(name)
}

// plan gives every service its address and its environment.
func (s *Shop) plan() error {
	addresses := map[Service]string{}
	for name := range database { // those that don't run too: others are told where they would be
		addr, err := freeAddr()
		if err != nil {
			return err
		}
		addresses[name] = addr
	}
	for _, name := range s.options.Services {
		profiles, err := freeAddr()
		if err != nil {
			return err
		}
		n := &node{
			program: filepath.Join(s.bin, program(name)), addr: addresses[name], pprof: profiles, log: s.logFile(name),
			environment: map[string]string{
				"LISTEN_ADDR": addresses[name], "INSTANCE": "lab-" + string(name), "DRAIN_DELAY": "0s",
				"DB_DSN": s.serviceDSN(name),
			},
		}
		for variable, other := range calls[name] {
			n.environment[variable] = "http://" + s.via(Link{name, string(other)}, addresses[other])
		}
		maps.Copy(n.environment, s.options.Env[name])
		s.nodes[name] = n
	}
	return nil
}

func (s *Shop) via(l Link, target string) string {
	if s.options.Via == nil {
		return target
	}
	return s.options.Via(l, target)
}

// serviceDSN is how a service gets into its database: as its login, acting as
// the owner.
func (s *Shop) serviceDSN(name Service) string {
	db := database[name]
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(db+"_a", password), Path: db,
		Host:     s.via(Link{name, db}, s.servers[db].Addr()),
		RawQuery: url.Values{"sslmode": {"disable"}, "role": {db + "_owner"}}.Encode(),
	}
	return u.String()
}

// freeAddr finds an address for a service that is killed and comes back: below
// the ports from which the kernel serves clients, so that none of them sits on
// it meanwhile.
func freeAddr() (string, error) {
	var last error
	for range 100 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(10_000+rand.IntN(9_000)))
		listener, err := net.Listen("tcp", addr) //nolint:noctx // a local port is there at once
		if err == nil {
			return addr, listener.Close()
		}
		last = err
	}
	return "", fmt.Errorf("find a free port: %w", last)
}
