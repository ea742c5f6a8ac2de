package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bookstore/services/operator/console"
	"bookstore/services/operator/machine"
	"bookstore/services/platform/wait"
)

// The store is a Docker engine's folder with the shop's images, loaded once; each machine gets a copy whose layers are hard
// links, in about a second and some MB. That is safe, since overlayfs never writes to a lower layer; all else of the folder is
// copied.

// layers is the part of Docker's folder that is linked.
const layers = "overlay2"

// Images has the Docker engine run, and the images of this checkout built, unless those that were built last are given. Where
// everything is there it takes a few seconds.
func Images(ctx context.Context, out io.Writer, given bool) error {
	if err := machine.Script(ctx, out, "20-docker.sh"); err != nil || given {
		return err
	}
	return machine.Script(ctx, out, "40-images.sh")
}

// store has the folder with today's images, and no other.
func store(ctx context.Context, out console.Console, root string) error {
	refs, key, err := images(ctx)
	if err != nil {
		return err
	}
	folder := filepath.Join(cache, "store-"+key)
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	former, err := filepath.Glob(filepath.Join(cache, "store-*"))
	if err != nil {
		return err
	}
	out.Sayf("%d tags of images to the machines' store, once", len(refs))
	making := filepath.Join(cache, "making")
	if err := os.RemoveAll(making); err != nil {
		return err
	}
	if len(former) > 0 { // most layers are there already
		err = clone(ctx, former[len(former)-1], making)
	} else {
		err = os.MkdirAll(making, 0o711) //nolint:gosec // as Docker has it
	}
	if err == nil {
		err = load(ctx, root, making, refs)
	}
	if err == nil {
		err = os.Rename(making, folder)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(making))
	}
	for _, old := range former {
		err = errors.Join(err, os.RemoveAll(old))
	}
	return err
}

// images are the tags of the shop's images on this machine, and a hash of what they are.
func images(ctx context.Context) (refs []string, key string, err error) {
	built, err := machine.Images(ctx)
	if err != nil {
		return nil, "", err
	}
	var ids []string
	for name := range built {
		if name == "base" {
			continue // part of others
		}
		said, err := docker(ctx, "image", "inspect", "-f", "{{.Id}}{{range .RepoTags}} {{.}}{{end}}", "bookstore/"+name+":"+machine.Version)
		if err != nil {
			return nil, "", err
		}
		words := strings.Fields(said)
		ids, refs = append(ids, said), append(refs, words[1:]...)
	}
	slices.Sort(ids)
	slices.Sort(refs)
	sum := sha256.Sum256([]byte(strings.Join(ids, "\n")))
	return refs, hex.EncodeToString(sum[:6]), nil
}

// load has a machine without a network load images into a folder, and remove those that are not among them.
func load(ctx context.Context, root, folder string, refs []string) (err error) {
	const name = "bookstore-lab-store"
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if _, err := docker(ctx, "rm", "-f", "-v", name); err != nil && !strings.Contains(err.Error(), "No such container") {
		return err
	}
	flags, err := rights(root)
	if err != nil {
		return err
	}
	if _, err := docker(ctx, slices.Concat([]string{"run", "-d", "--name", name, "--network", "none"}, flags, []string{"-v", folder + ":/var/lib/docker", image})...); err != nil {
		return err
	}
	defer func() {
		_, gone := docker(context.WithoutCancel(ctx), "rm", "-f", "-v", name)
		err = errors.Join(err, gone)
	}()
	if err := engine(ctx, name); err != nil {
		return err
	}
	said, err := docker(ctx, "exec", name, "docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}")
	if err != nil {
		return err
	}
	has := strings.Fields(said)
	lacks := func(all, these []string) []string {
		return slices.DeleteFunc(slices.Clone(these), func(ref string) bool { return slices.Contains(all, ref) })
	}
	// A tag that stands for the newest is taken anew.
	missing := slices.DeleteFunc(slices.Clone(refs), func(ref string) bool {
		return slices.Contains(has, ref) && !strings.HasSuffix(ref, ":"+machine.Version)
	})
	if err := pipe(ctx, append([]string{"image", "save"}, missing...), []string{"exec", "-i", name, "docker", "image", "load", "-q"}); err != nil {
		return err
	}
	if old := lacks(refs, has); len(old) > 0 {
		// What has no tag any more goes below.
		if _, err := docker(ctx, append([]string{"exec", name, "docker", "image", "rm", "-f"}, old...)...); err != nil {
			return err
		}
	}
	if _, err := docker(ctx, "exec", name, "docker", "image", "prune", "-f"); err != nil {
		return err
	}
	_, err = docker(ctx, "exec", name, "systemctl", "stop", "docker.socket", "docker.service")
	return err
}

// engine waits until a machine's Docker engine answers.
func engine(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := wait.Until(ctx, time.Second/5, func(ctx context.Context) error {
		_, err := docker(ctx, "exec", name, "docker", "version", "-f", "{{.Server.Version}}")
		return err
	})
	if err != nil {
		return fmt.Errorf("the Docker engine in %s does not answer: %w", name, err)
	}
	return nil
}

// pipe runs docker twice, the output of one the input of the other.
func pipe(ctx context.Context, from, to []string) error {
	reader, writer := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := dockerTo(ctx, nil, writer, from...)
		_ = writer.CloseWithError(err) // it returns none
		written <- err
	}()
	err := dockerTo(ctx, reader, io.Discard, to...)
	_ = reader.CloseWithError(err) // the same
	return errors.Join(err, <-written)
}

// clone copies a folder of Docker's to one that is not there yet.
func clone(ctx context.Context, from, to string) error {
	if err := os.MkdirAll(to, 0o711); err != nil { //nolint:gosec // as Docker has it
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		flags := []string{"--archive"}
		if entry.Name() == layers {
			flags = append(flags, "--link")
		}
		out, err := exec.CommandContext(ctx, "cp", append(flags, filepath.Join(from, entry.Name()), to+"/")...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("copy %s: %w: %s", entry.Name(), err, out)
		}
	}
	return nil
}

// programs puts what machines run into a folder of the lab's own, so that they keep it whatever this machine gets.
func programs() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	files := map[string]string{"bin/shop": self, "services/catalogue": filepath.Join(machine.Cache, "services/catalogue")}
	for _, agent := range []string{"nomad", "consul"} {
		if files["bin/"+agent], err = machine.Tool(agent); err != nil {
			return err
		}
	}
	for name, from := range files {
		if err := keep(from, filepath.Join(cache, name)); err != nil {
			return fmt.Errorf("%s for the machines: %w", name, err)
		}
	}
	return nil
}

// keep has a file be a copy of another. One that a machine runs is replaced, not written to.
func keep(from, to string) error {
	source, err := os.Stat(from)
	if err != nil {
		return err
	}
	if there, err := os.Stat(to); err == nil && there.Size() == source.Size() && there.ModTime().Equal(source.ModTime()) {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // programs for everybody
		return err
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to+".new", text, 0o755); err != nil { //nolint:gosec // the same
		return err
	}
	if err := os.Chtimes(to+".new", time.Time{}, source.ModTime()); err != nil {
		return err
	}
	return os.Rename(to+".new", to)
}
