package lab

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
)

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

// Terminate asks a service to stop in order, as a deployment does, and returns
// at once.
func (s *Shop) Terminate(name Service) { s.nodes[name].signal(syscall.SIGTERM) }

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
