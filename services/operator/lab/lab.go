// Package lab is several machines on this one: containers with systemd and a Docker engine of their own, which the scripts
// in vagrant/provision set up as they do any machine. They have a network, data and keys of their own: nothing of it touches
// a shop that runs on this machine itself.
package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"bookstore/services/operator/machine"
)

const (
	network  = "bookstore-lab"
	subnet   = "10.31.250.0/24"
	image    = "bookstore/machine:lab"
	label    = "bookstore.lab" // each machine's container has it
	checkout = "/bookstore"    // where machines have the repository
)

// cache is where labs have what they need not make again.
const cache = machine.Cache + "/lab"

// archive is where machines have the folder that they share, for backups and WAL.
const archive = "/var/lib/bookstore-archive"

// A lab has at least as many machines as are servers, too, the first ones.
const servers, most = 3, 9

// node is one machine of a lab, by its number from 1.
type node int

func (n node) name() string    { return fmt.Sprintf("lab%d", n) }
func (n node) address() string { return fmt.Sprintf("10.31.250.%d", 10+n) }

// settings are what provision.sh is told on a machine. Of the memory it sees all that this machine has.
func (n node) settings() []string {
	var addresses []string
	for i := range servers {
		addresses = append(addresses, node(i+1).address())
	}
	role := "both"
	if n > servers {
		role = "client"
	}
	return []string{
		"BOOKSTORE_GIVEN=1", "BOOKSTORE_INTERFACE=eth0", "BOOKSTORE_ROLE=" + role, "BOOKSTORE_MEMORY=4096", "BOOKSTORE_S3=" + node(1).address(),
		"BOOKSTORE_SERVERS=" + strings.Join(addresses, ","), fmt.Sprintf("BOOKSTORE_BOOTSTRAP=%d", servers),
	}
}

// exec are the arguments of docker that run a command on a machine, in the repository, with these settings.
func (n node) exec(settings []string, command ...string) []string {
	args := []string{"exec", "-i", "-w", checkout}
	for _, setting := range settings {
		args = append(args, "-e", setting)
	}
	return slices.Concat(args, []string{n.name()}, command)
}

// docker runs the outer Docker's client and returns what it says.
func docker(ctx context.Context, args ...string) (string, error) {
	var said bytes.Buffer
	err := dockerTo(ctx, nil, &said, args...)
	return strings.TrimSpace(said.String()), err
}

// dockerTo runs it with an input and an output; what it says on its error output is part of the error.
func dockerTo(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, "docker", args...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &stderr
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("docker %s: %w: %s", strings.Join(args[:min(3, len(args))], " "), err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

// ErrNone says that there is no lab.
var ErrNone = errors.New("there is no lab: 'go tool task lab:up' brings one up")

// Machine is one machine of the lab as it is now.
type Machine struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	State   string `json:"state"` // as Docker says: running, exited, paused
}

// Machines are those that there are, by name.
func Machines(ctx context.Context) ([]Machine, error) {
	names, err := docker(ctx, "ps", "--all", "--filter", "label="+label, "--format", "{{.Names}}")
	if err != nil {
		return nil, err
	}
	var all []Machine
	for name := range strings.FieldsSeq(names) {
		said, err := docker(ctx, "inspect", "-f", `{{.State.Status}} {{range .NetworkSettings.Networks}}{{with .IPAMConfig}}{{.IPv4Address}}{{end}}{{end}}`, name)
		if err != nil {
			return nil, err
		}
		state, address, _ := strings.Cut(said, " ")
		all = append(all, Machine{Name: name, Address: address, State: state})
	}
	slices.SortFunc(all, func(a, b Machine) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Shop is the command that runs the operator's command on the first machine that runs, with a terminal where there is one.
func Shop(ctx context.Context, terminal bool, args ...string) (*exec.Cmd, error) {
	all, err := Machines(ctx)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(m Machine) bool { return m.State == "running" })
	if at < 0 {
		return nil, ErrNone
	}
	flags := []string{"exec", "-i", "-w", checkout, "-e", "BOOKSTORE_ARCHIVE=" + archive}
	flags = append(flags, "-e", "BOOKSTORE_VARS="+vars(len(all)), "-e", fmt.Sprintf("BOOKSTORE_NODES=%d", len(all)))
	if terminal {
		flags = append(flags, "-t")
	}
	return exec.CommandContext(ctx, "docker", slices.Concat(flags, []string{all[at].Name, machine.Bin + "/shop"}, args)...), nil
}

// vars is the file of variables for so many machines, where a machine has it.
func vars(machines int) string {
	if machines < 5 {
		return checkout + "/jobs/vars/three.hcl"
	}
	return checkout + "/jobs/vars/many.hcl"
}

// Memory is what a machine uses, as Docker says it; nothing where it does not run.
func Memory(ctx context.Context, m Machine) string {
	if m.State != "running" {
		return ""
	}
	said, err := docker(ctx, "stats", "--no-stream", "--format", "{{.MemUsage}}", m.Name)
	if err != nil {
		return ""
	}
	used, _, _ := strings.Cut(said, " /")
	return used
}
