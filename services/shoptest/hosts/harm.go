package hosts

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Kill ends every process of the machine at once. Its kernel is this machine's and lives, so peers hear that their connections
// are closed, as when a machine's programs crash.
func (h Host) Kill(ctx context.Context) error {
	h.note(true)
	_, err := docker(ctx, "kill", h.Name)
	return err
}

// Off ends the machine as a loss of power does: nobody hears anything of it from one moment on.
func (h Host) Off(ctx context.Context) error {
	h.note(true)
	link, err := h.link(ctx)
	if err != nil {
		return err
	}
	if _, err := h.Run(ctx, "ip", "link", "set", link, "down"); err != nil {
		return err
	}
	return h.Kill(ctx)
}

// Start has a machine that ended run again; what is on it returns by itself.
func (h Host) Start(ctx context.Context) error {
	_, err := docker(ctx, "start", h.Name)
	if err == nil {
		h.note(false)
	}
	return err
}

// ShutDown stops the machine in order, as its operator would.
func (h Host) ShutDown(ctx context.Context) error {
	h.note(true)
	_, err := docker(ctx, "stop", "--time", "60", h.Name)
	return err
}

// Remove takes the machine away for good.
func (h Host) Remove(ctx context.Context) error {
	_, err := docker(ctx, "rm", "--force", "--volumes", h.Name)
	return err
}

// Freeze stops every process of the machine where it is. Its kernel answers for it: connections are accepted, and nothing comes.
func (h Host) Freeze(ctx context.Context) error {
	h.note(true)
	_, err := docker(ctx, "pause", h.Name)
	return err
}

// Thaw lets the machine go on.
func (h Host) Thaw(ctx context.Context) error {
	_, err := docker(ctx, "unpause", h.Name)
	if err == nil {
		h.note(false)
	}
	return err
}

// link is the name of the machine's interface on the lab's network.
func (h Host) link(ctx context.Context) (string, error) {
	text, err := h.Run(ctx, "ip", "-4", "-o", "addr", "show")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 3 && strings.HasPrefix(f[3], h.Address+"/") {
			return f[1], nil
		}
	}
	return "", fmt.Errorf("%s has no interface with its address %s", h.Name, h.Address)
}

// cutChain has the rules of a cut, in the table through which all packets pass, also those of containers.
const cutChain = "BOOKSTORE-DRILL"

// Cut drops what goes between the machine and others, or everybody where none is named. What is said within the machine goes on.
func (h Host) Cut(ctx context.Context, from ...Host) error {
	for _, one := range append(from, h) { // of two that do not reach each other neither knows all
		one.note(true)
	}
	link, err := h.link(ctx)
	if err != nil {
		return err
	}
	rules := []string{"-N " + cutChain}
	for _, peer := range from {
		rules = append(rules, "-A "+cutChain+" -s "+peer.Address+" -j DROP", "-A "+cutChain+" -d "+peer.Address+" -j DROP")
	}
	if len(from) == 0 {
		rules = append(rules, "-A "+cutChain+" -j DROP")
	}
	// Both directions end in one command each; the first may leave half a cut for some milliseconds.
	rules = append(rules, "-I PREROUTING -i "+link+" -j "+cutChain, "-I POSTROUTING -o "+link+" -j "+cutChain)
	for _, rule := range rules {
		if _, err := h.mangle(ctx, rule); err != nil {
			return err
		}
	}
	return nil
}

// Mend undoes a cut, between the same machines.
func (h Host) Mend(ctx context.Context, from ...Host) error {
	link, err := h.link(ctx)
	if err != nil {
		return err
	}
	var problems []error
	for _, rule := range []string{
		"-D PREROUTING -i " + link + " -j " + cutChain, "-D POSTROUTING -o " + link + " -j " + cutChain, "-F " + cutChain, "-X " + cutChain,
	} {
		_, err := h.mangle(ctx, rule)
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	for _, one := range append(from, h) {
		one.note(false)
	}
	return nil
}

func (h Host) mangle(ctx context.Context, rule string) (string, error) {
	return h.Run(ctx, append([]string{"iptables", "--wait", "5", "--table", "mangle"}, strings.Fields(rule)...)...)
}

// agents are the units of systemd that the agents are.
var agents = []string{"bookstore-consul.service", "bookstore-nomad.service"}

// KillAgents ends the machine's agents at once and keeps them from being started again.
func (h Host) KillAgents(ctx context.Context) error {
	_, errKill := h.Run(ctx, append([]string{"systemctl", "kill", "--signal", "KILL"}, agents...)...)
	_, errStop := h.Run(ctx, append([]string{"systemctl", "stop"}, agents...)...)
	return errors.Join(errKill, errStop)
}

// StartAgents starts them.
func (h Host) StartAgents(ctx context.Context) error {
	_, err := h.Run(ctx, append([]string{"systemctl", "start"}, agents...)...)
	return err
}
