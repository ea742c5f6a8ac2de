package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"bookstore/services/operator/console"
)

// Folder is where a lab keeps what it may lose: a folder for each machine, and one that they share
// (vagrant/machine/arguments).
type Folder string

// Two labs can be on this machine: that of 'lab up', and the one that Vagrant starts (vagrant/Vagrantfile).
const (
	Own     Folder = "/var/lib/bookstore-lab"
	Vagrant Folder = "/var/lib/bookstore-vagrant"
)

func (f Folder) of(name string) string { return filepath.Join(string(f), name) }

// machines are the folders of machines that there are.
func (f Folder) machines() ([]string, error) {
	return filepath.Glob(filepath.Join(string(f), "*", "docker"))
}

// machineName matches the names that a machine may have.
var machineName = regexp.MustCompile(`^[a-z][a-z0-9]{0,15}$`)

// Fill makes, where they are missing, the folder of a machine that another program starts, and what machines are made of.
// publicKey is a file with the ssh key of whoever may be root there.
func (f Folder) Fill(ctx context.Context, out console.Console, root, name, publicKey string) error {
	if !machineName.MatchString(name) {
		return fmt.Errorf("%q is no name of a machine", name)
	}
	key, err := os.ReadFile(publicKey)
	if err != nil {
		return err
	}
	release, err := exclusive(ctx)
	if err != nil {
		return err
	}
	defer release()
	if _, err := os.Stat(f.of(name)); err == nil {
		return nil
	}
	others, err := f.machines()
	if err != nil {
		return err
	}
	if len(others) == 0 { // the first one looks at the images for all
		if err := Images(ctx, out.Out, false); err != nil {
			return err
		}
	}
	if err := materials(ctx, out, root); err != nil {
		return err
	}
	return f.fill(ctx, name, key)
}

// fill makes a machine's folder, with images and without anything else. A part of it is not taken for the whole.
func (f Folder) fill(ctx context.Context, name string, publicKey []byte) error {
	golden, err := filepath.Glob(filepath.Join(cache, "store-*"))
	if err != nil || len(golden) != 1 {
		return errors.Join(err, errors.New("the machines' store of images is gone: run this again"))
	}
	making := f.of(name) + ".making"
	if err := os.RemoveAll(making); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(making, "ssh"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(making, "ssh/authorized_keys"), publicKey, 0o600); err != nil { //nolint:gosec // the name was looked at
		return err
	}
	if err := clone(ctx, golden[0], filepath.Join(making, "docker")); err != nil {
		return err
	}
	return os.Rename(making, f.of(name))
}

// Remove removes the folder of a machine that is no more, and with the last one all of the lab.
func (f Folder) Remove(ctx context.Context, name string) error {
	if !machineName.MatchString(name) {
		return fmt.Errorf("%q is no name of a machine", name)
	}
	release, err := exclusive(ctx)
	if err != nil {
		return err
	}
	defer release()
	there, err := docker(ctx, "ps", "--all", "--quiet", "--filter", "volume="+f.of(name)+"/docker")
	if err != nil {
		return err
	}
	if there != "" {
		return fmt.Errorf("the machine %s is there: its folder stays", name)
	}
	if err := os.RemoveAll(f.of(name)); err != nil {
		return err
	}
	left, err := f.machines()
	if err != nil || len(left) > 0 {
		return err
	}
	return os.RemoveAll(string(f))
}

// Arguments are what 'docker run' is told of a machine, of the checkout at root.
func (f Folder) Arguments(root, name string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(root, "vagrant/machine/arguments"))
	if err != nil {
		return nil, err
	}
	var args []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		args = append(args, strings.SplitN(strings.NewReplacer("@LAB@", string(f), "@NAME@", name).Replace(line), " ", 2)...)
	}
	return args, nil
}

// rights are those of them that are about no folder.
func rights(root string) ([]string, error) {
	args, err := Own.Arguments(root, "none")
	for at := slices.Index(args, "-v"); at >= 0; at = slices.Index(args, "-v") {
		args = slices.Delete(args, at, at+2)
	}
	return args, err
}

// exclusive waits until nobody else makes or removes what machines are made of.
func exclusive(ctx context.Context) (release func(), err error) {
	if err := os.MkdirAll(cache, 0o755); err != nil { //nolint:gosec // programs for everybody are in it
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	release = func() { _ = file.Close() } // nothing was written to it
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return release, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			release()
			return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
		}
		select {
		case <-ctx.Done():
			release()
			return nil, ctx.Err()
		case <-time.After(time.Second / 5):
		}
	}
}
