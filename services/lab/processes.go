package lab

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"bookstore/services/platform/wait"
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

// node is a place where a service runs, one process after the other.
type node struct {
	program     string
	addr        string // host:port of its API
	pprof       string
	environment map[string]string
	log         string

	mu   sync.Mutex
	cmd  *exec.Cmd     // nil while nothing runs
	done chan struct{} // closed when cmd has ended
}

// start runs a new process. The thread that starts it stays until it ends: the
// kernel sends the parent-death signal when the starting thread ends.
func (n *node) start() error {
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer log.Close()              //nolint:errcheck // the process has its own copy
	cmd := exec.Command(n.program) //nolint:noctx // it lives until it is killed
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Env = []string{"GORACE=halt_on_error=0", "PPROF_ADDR=" + n.pprof}
	for _, name := range slices.Sorted(maps.Keys(n.environment)) {
		cmd.Env = append(cmd.Env, name+"="+n.environment[name])
	}
	started, done := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended shows in its log
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", filepath.Base(n.program), err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cmd, n.done = cmd, done
	return nil
}

// signal sends a signal to the process, if one runs.
func (n *node) signal(what syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil {
		_ = n.cmd.Process.Signal(what) // it may have ended by itself
	}
}

// kill ends the process and returns when it is gone.
func (n *node) kill() {
	n.signal(syscall.SIGKILL)
	n.mu.Lock()
	done := n.done
	n.mu.Unlock()
	if done != nil {
		<-done
	}
}

// Kill ends a service at once, as SIGKILL does, and returns when it is gone.
func (s *Shop) Kill(name Service) { s.nodes[name].kill() }

// Freeze stops a service where it is: it keeps its connections and says nothing.
func (s *Shop) Freeze(name Service) { s.nodes[name].signal(syscall.SIGSTOP) }

// Thaw lets a frozen service go on.
func (s *Shop) Thaw(name Service) { s.nodes[name].signal(syscall.SIGCONT) }

// Restart runs a service again, killing it first where it runs. It does not
// wait for it to be ready.
func (s *Shop) Restart(name Service) error {
	n := s.nodes[name]
	n.kill()
	return n.start()
}

// Running tells whether a service has a process, frozen or not.
func (s *Shop) Running(name Service) bool {
	n := s.nodes[name]
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.done == nil {
		return false
	}
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

// PID is the process of a service, 0 while it has none.
func (s *Shop) PID(name Service) int {
	n := s.nodes[name]
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return 0
	}
	return n.cmd.Process.Pid
}

// probeEvery is the pause between two polls.
const probeEvery = 20 * time.Millisecond

// Ready returns when the named services, or all that run, take requests.
func (s *Shop) Ready(ctx context.Context, names ...Service) error {
	if len(names) == 0 {
		names = s.options.Services
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Second}
	for _, name := range names {
		err := Until(ctx, func(ctx context.Context) error {
			if !s.Running(name) {
				return fmt.Errorf("%s does not run", name)
			}
			return probe(ctx, client, s.URL(name)+"/ready")
		})
		if err != nil {
			return fmt.Errorf("%s is not ready: %w", name, err)
		}
	}
	return nil
}

func probe(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// Until polls check until it returns nil, or until ctx ends (wait.Until).
func Until(ctx context.Context, check func(context.Context) error) error {
	return wait.Until(ctx, probeEvery, check)
}

// position is where a text begins in a log; -1: nowhere.
func position(log, text string) int { return strings.Index(log, text) }
