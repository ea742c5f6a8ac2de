package fence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"bookstore/services/platform/wait"
)

// Lock stands for a member's life: two files on its volume, locked (flock) by its processes.
//
// The first is held by the container's first process and by Patroni. A process that dies
// closes its files before its children are told, and the first process of a container is
// no exception, so that lock alone says nothing about PostgreSQL. The second is held by
// every process of PostgreSQL, each of which inherited it from the postmaster. With both in
// hand, nobody is left who could write to the data directory or renew a session.
type Lock struct{ dir string }

// NewLock is the one of the member whose volume is dir.
func NewLock(dir string) Lock { return Lock{dir} }

// The files, in the order in which everyone takes them.
const (
	memberFile   = ".lock"
	postgresFile = ".postgres.lock"
)

// pollEvery is the time between two polls of whether a member runs again.
const pollEvery = 250 * time.Millisecond

// Held are both locks. Whoever has them is alone on the volume.
type Held struct{ files []*os.File }

// Release lets the member's next life begin.
func (h Held) Release() {
	for _, f := range h.files {
		_ = f.Close() // closing is what unlocks; there is nobody to tell that it failed
	}
}

// Wait returns once the member is certainly dead. When ctx ends first, a lock that comes
// later is let go at once.
func (l Lock) Wait(ctx context.Context) (held Held, err error) {
	for _, name := range []string{memberFile, postgresFile} {
		file, err := take(ctx, filepath.Join(l.dir, name))
		if err != nil {
			held.Release()
			return Held{}, err
		}
		held.files = append(held.files, file)
	}
	return held, nil
}

// AwaitLife returns once somebody else has the member's lock.
func (l Lock) AwaitLife(ctx context.Context) error {
	for {
		file, err := open(filepath.Join(l.dir, memberFile))
		if err != nil {
			return err
		}
		err = flock(file, syscall.LOCK_EX|syscall.LOCK_NB)
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("lock %s: %w", file.Name(), err)
		}
		if !wait.For(ctx, pollEvery) {
			return ctx.Err()
		}
	}
}

// take waits for the lock on the file that bears the name when the lock comes: one that was
// put in its place meanwhile is somebody else's.
func take(ctx context.Context, path string) (*os.File, error) {
	for {
		file, err := open(path)
		if err != nil {
			return nil, err
		}
		if err := await(ctx, file); err != nil {
			return nil, err
		}
		if same(file, path) {
			return file, nil
		}
		_ = file.Close()
	}
}

// await leaves the waiting itself to the kernel, which cannot be called off.
func await(ctx context.Context, file *os.File) error {
	locked := make(chan error, 1)
	go func() { locked <- flock(file, syscall.LOCK_EX) }()
	select {
	case err := <-locked:
		if err != nil {
			_ = file.Close()
			return fmt.Errorf("lock %s: %w", file.Name(), err)
		}
		return nil
	case <-ctx.Done():
		go func() {
			<-locked //nolint:errcheck // nobody waits for it any more
			_ = file.Close()
		}()
		return ctx.Err()
	}
}

func flock(file *os.File, how int) error {
	for {
		if err := syscall.Flock(int(file.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

func same(file *os.File, path string) bool {
	locked, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	return err == nil && os.SameFile(locked, named)
}
