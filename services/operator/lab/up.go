package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"bookstore/services/operator/console"
	"bookstore/services/operator/machine"
	"bookstore/services/operator/provide"
	"bookstore/services/platform/wait"
)

// Lab is a lab that is to be.
type Lab struct {
	Machines int
	Out      console.Console
}

// Up brings up what is missing, to a first order: machines, agents, jobs. The images are on this machine already.
func (l Lab) Up(ctx context.Context) error {
	if l.Machines < servers || l.Machines > most {
		return fmt.Errorf("%d machines: a lab has %d to %d", l.Machines, servers, most)
	}
	root, err := machine.Root()
	if err != nil {
		return err
	}
	for _, stage := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"images and programs", func(ctx context.Context) error { return l.prepare(ctx, root) }},
		{"machines", func(ctx context.Context) error {
			return l.each(ctx, func(ctx context.Context, n node, _ io.Writer) error { return l.start(ctx, n, root) })
		}},
		{"keys", l.keys},
		{"agents", func(ctx context.Context) error { return l.each(ctx, l.provision) }},
		{"the shop", l.shop},
	} {
		l.Out.Stagef("%s", stage.name)
		begin := time.Now()
		if err := stage.run(ctx); err != nil {
			return err
		}
		l.Out.Sayf("%.1f s", time.Since(begin).Seconds())
	}
	return nil
}

// prepare makes what machines are made of, and their network.
func (l Lab) prepare(ctx context.Context, root string) error {
	release, err := exclusive(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := materials(ctx, l.Out, root); err != nil {
		return err
	}
	if _, err := docker(ctx, "network", "inspect", network); err == nil {
		return nil
	}
	_, err = docker(ctx, "network", "create", "--subnet", subnet, network)
	return err
}

// materials are what machines are made of: their own image, the programs that they run, the shop's images.
func materials(ctx context.Context, out console.Console, root string) error {
	if _, err := docker(ctx, "build", "-q", "--network", "host", "-t", image, filepath.Join(root, "vagrant/machine")); err != nil {
		return err
	}
	if err := programs(); err != nil {
		return err
	}
	if err := watches(); err != nil {
		return err
	}
	return store(ctx, out, root)
}

// watches lets root have as many inotify instances as the systemd and the engines of all machines need, some twenty each. Linux gives
// 128 to all of root's processes together; without one systemd starts nothing, and says nothing.
func watches() error {
	const file, enough = "/proc/sys/fs/inotify/max_user_instances", 1024
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && now >= enough {
		return nil
	}
	return os.WriteFile(file, []byte(strconv.Itoa(enough)), 0o644) //nolint:gosec // a setting of the kernel
}

// each does something for all machines at once. What is written has the machine's name before each line.
func (l Lab) each(ctx context.Context, do func(context.Context, node, io.Writer) error) error {
	var all sync.WaitGroup
	var lines sync.Mutex
	errs := make([]error, l.Machines)
	for i := range l.Machines {
		all.Go(func() {
			n := node(i + 1)
			out := &named{name: n.name(), out: l.Out.Out, lines: &lines}
			if err := do(ctx, n, out); err != nil {
				errs[i] = fmt.Errorf("%s: %w", n.name(), err)
			}
			out.end()
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// start has a machine run. One that is not there is made, with images and without anything else.
func (l Lab) start(ctx context.Context, n node, root string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	state, err := docker(ctx, "inspect", "-f", "{{.State.Status}}", n.name())
	switch {
	case err == nil && state == "paused":
		_, err = docker(ctx, "unpause", n.name())
	case err == nil && state != "running":
		_, err = docker(ctx, "start", n.name())
	case err != nil && strings.Contains(err.Error(), "No such object"):
		err = l.create(ctx, n, root)
	}
	if err != nil {
		return err
	}
	return engine(ctx, n.name())
}

func (Lab) create(ctx context.Context, n node, root string) error {
	if err := os.RemoveAll(Own.of(n.name())); err != nil {
		return err
	}
	if err := Own.fill(ctx, n.name(), nil); err != nil {
		return err
	}
	arguments, err := Own.Arguments(root, n.name())
	if err != nil {
		return err
	}
	_, err = docker(ctx, slices.Concat([]string{
		"run", "-d", "--name", n.name(), "--hostname", n.name(), "--label", label + "=machine",
		"--network", network, "--ip", n.address(), "-v", root + ":" + checkout + ":ro",
	}, arguments, []string{image})...)
	return err
}

// keys hands each machine its keys. The first one has the CA's, since certificates are made there.
func (l Lab) keys(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	dir := Own.of("keys")
	if err := provide.NewKeys(dir); err != nil {
		return err
	}
	for n := node(1); int(n) <= l.Machines; n++ {
		if _, err := docker(ctx, "exec", n.name(), "test", "-s", machine.Access+"/agent.pem"); err == nil {
			continue
		}
		// Drills act from whichever machine is left, so each has the operator's tokens.
		var bundle bytes.Buffer
		if err := (provide.Bundle{Address: n.address(), Operator: true, First: n == 1}).Write(&bundle, dir); err != nil {
			return err
		}
		if _, err := docker(ctx, "exec", n.name(), "mkdir", "-p", "-m", "700", machine.Access); err != nil {
			return err
		}
		if err := dockerTo(ctx, &bundle, io.Discard, n.exec(nil, "tar", "-xC", machine.Access)...); err != nil {
			return err
		}
	}
	return nil
}

// provision runs provision.sh on a machine.
func (l Lab) provision(ctx context.Context, n node, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	// The scripts need systemd to know their units.
	err := wait.Until(ctx, time.Second/5, func(ctx context.Context) error {
		_, err := docker(ctx, "exec", n.name(), "systemctl", "is-system-running")
		return err
	})
	if err != nil {
		return err
	}
	return dockerTo(ctx, nil, out, n.exec(n.settings(), "bash", "vagrant/provision/provision.sh")...)
}

// shop brings up what is on the cluster.
func (l Lab) shop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	cmd, err := Shop(ctx, false, "up", "--cluster")
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = l.Out.Out, os.Stderr
	return cmd.Run()
}

// named writes whole lines, each with a name before it.
type named struct {
	name  string
	out   io.Writer
	lines *sync.Mutex
	rest  []byte
}

func (w *named) Write(text []byte) (int, error) {
	w.rest = append(w.rest, text...)
	for {
		line, rest, whole := strings.Cut(string(w.rest), "\n")
		if !whole {
			return len(text), nil
		}
		w.rest = []byte(rest)
		if err := w.line(line); err != nil {
			return 0, err
		}
	}
}

func (w *named) line(line string) error {
	if strings.TrimSpace(line) == "" {
		return nil
	}
	w.lines.Lock()
	defer w.lines.Unlock()
	_, err := fmt.Fprintf(w.out, "  [%s] %s\n", w.name, strings.TrimSpace(line))
	return err
}

func (w *named) end() {
	if len(w.rest) > 0 {
		_ = w.line(string(w.rest)) // nobody hears it
	}
}
