// Package hosts is the lab as tests and drills see it: several machines, each a container of this one with systemd, agents and
// a Docker of its own (go tool task lab:up). It finds them, comes to what listens inside them, breaks a whole one and has it
// return. It knows nothing of the shop.
package hosts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Variable is of the environment: when it is set, tests that can do so act on the lab instead of the shop on this machine.
const Variable = "BOOKSTORE_LAB"

// InUse tells whether tests act on the lab.
func InUse() bool { return os.Getenv(Variable) != "" }

// label marks the containers that are machines of the lab.
const label = "bookstore.lab"

// Host is a machine of the lab. Its name is that of its container, and of its node in Consul and Nomad.
type Host struct {
	Name, Address string
	pid           int // of the container's first process, as this machine sees it
}

// commandTime bounds a command: the longest is a machine that stops in order.
const commandTime = 90 * time.Second

func docker(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		err = fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return text, err
}

// Run runs a command in the machine, as root, and returns its output.
func (h Host) Run(ctx context.Context, command ...string) (string, error) {
	return docker(ctx, append([]string{"exec", h.Name}, command...)...)
}

// form prints a container's name, the id of its first process, and its address: the one that it was given, which it has while
// it does not run too.
const form = `{{.Name}} {{.State.Pid}} {{range .NetworkSettings.Networks}}{{with .IPAMConfig}}{{.IPv4Address}} {{end}}{{end}}`

// All are the machines of the lab, whether they run or not, in the order of their addresses.
func All(ctx context.Context) (all []Host, err error) {
	ids, err := docker(ctx, "ps", "--all", "--quiet", "--filter", "label="+label)
	if err != nil {
		return nil, err
	}
	if ids == "" {
		return nil, errors.New("there is no lab: 'go tool task lab:up' brings it up")
	}
	lines, err := docker(ctx, append([]string{"inspect", "--format", form}, strings.Fields(ids)...)...)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(lines) {
		words := strings.Fields(line)
		if len(words) < 3 {
			return nil, fmt.Errorf("a machine of the lab has no fixed address: %q", line)
		}
		h := Host{Name: strings.TrimPrefix(words[0], "/"), Address: words[2]}
		if h.pid, err = strconv.Atoi(words[1]); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b Host) int { return slices.Compare(net.ParseIP(a.Address).To4(), net.ParseIP(b.Address).To4()) })
	return all, nil
}

// At is the machine that has an address, with or without a port.
func At(ctx context.Context, address string) (Host, error) {
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	all, err := All(ctx)
	if err != nil {
		return Host{}, err
	}
	for _, h := range all {
		if h.Address == address {
			return h, nil
		}
	}
	return Host{}, fmt.Errorf("no machine of the lab has the address %s", address)
}

// broken are the names of machines that somebody broke here: nobody else is to rely on them.
var broken struct {
	sync.Mutex
	names map[string]bool
}

func (h Host) note(isBroken bool) {
	broken.Lock()
	defer broken.Unlock()
	if broken.names == nil {
		broken.names = map[string]bool{}
	}
	broken.names[h.Name] = isBroken
}

// sound are the machines that run and that nobody broke.
func sound(ctx context.Context) ([]Host, error) {
	all, err := All(ctx)
	if err != nil {
		return nil, err
	}
	broken.Lock()
	defer broken.Unlock()
	all = slices.DeleteFunc(all, func(h Host) bool { return broken.names[h.Name] || h.pid == 0 })
	if len(all) == 0 {
		return nil, errors.New("no machine of the lab runs: 'go tool task lab:up' starts them")
	}
	return all, nil
}

// Read reads a file that every machine has from the first that is sound.
func Read(ctx context.Context, path string) ([]byte, error) {
	all, err := sound(ctx)
	if err != nil {
		return nil, err
	}
	text, err := all[0].Run(ctx, "cat", path)
	return []byte(text + "\n"), err
}
