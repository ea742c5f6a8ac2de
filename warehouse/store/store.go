package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Store is the directory, for its one writer. Readers use Versions and AsOf.
type Store struct {
	dir  string
	lock *os.File
}

// ErrBusy is that another process writes here.
var ErrBusy = errors.New("another run is going on")

// Open makes the directory if it must, and puts right what a killed run left behind.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open the warehouse: %w", err)
	}
	for _, name := range []string{"files", "versions"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil { //nolint:gosec // whoever reads reports reads it
			return nil, fmt.Errorf("open the warehouse: %w", err)
		}
	}
	// The kernel lets go of the lock with the process, however that ends.
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the warehouse: %w", err)
	}
	s := &Store{dir: dir, lock: lock}
	if err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrBusy
	}
	if err == nil {
		err = s.recover()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the warehouse in %s: %w", dir, err), s.Close())
	}
	return s, nil
}

// Close lets the next writer in.
func (s *Store) Close() error { return s.lock.Close() }

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

// Last is the manifest of the newest version; nil: there is none yet.
func (s *Store) Last() (*Manifest, error) {
	all, err := Versions(s.dir)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return readManifest(all[len(all)-1].Path)
}

// recover finishes what a killed run had begun: a version that is there is published.
func (s *Store) recover() error {
	if err := os.RemoveAll(s.path("staging")); err != nil {
		return err
	}
	if err := os.Mkdir(s.path("staging"), 0o755); err != nil { //nolint:gosec // as above
		return err
	}
	all, err := Versions(s.dir)
	if err != nil {
		return err
	}
	if len(all) > 0 {
		if err := s.point(all[len(all)-1].Run); err != nil {
			return err
		}
	}
	return s.collect(all)
}

// point makes current lead to a version.
func (s *Store) point(run string) error {
	target := filepath.Join("versions", run)
	if now, err := os.Readlink(s.path("current")); err == nil && now == target {
		return nil
	}
	if err := os.Symlink(target, s.path("staging", "current")); err != nil {
		return err
	}
	if err := os.Rename(s.path("staging", "current"), s.path("current")); err != nil {
		return err
	}
	return syncFile(s.dir)
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Prune lets go of versions whose cut is more than keep ago, but never of the newest atLeast, and
// of the files that nothing names any more. Who has an old version open may miss its files then.
func (s *Store) Prune(keep time.Duration, atLeast int, now time.Time) error {
	all, err := Versions(s.dir)
	if err != nil {
		return err
	}
	for len(all) > max(atLeast, 1) && all[0].At.Before(now.Add(-keep)) {
		// Moved first: a version is there as a whole or not at all.
		if err := os.Rename(all[0].Path, s.path("staging", "old-"+all[0].Run)); err != nil {
			return fmt.Errorf("let go of version %s: %w", all[0].Run, err)
		}
		all = all[1:]
	}
	if err := s.collect(all); err != nil {
		return err
	}
	return s.clear()
}

// clear empties staging.
func (s *Store) clear() error {
	entries, err := os.ReadDir(s.path("staging"))
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(s.path("staging", entry.Name())))
	}
	return err
}

// collect removes the files that none of these versions names.
func (s *Store) collect(versions []Version) error {
	var named []string
	for _, v := range versions {
		m, err := readManifest(v.Path)
		if err != nil {
			return err // whatever it names must stay
		}
		for _, f := range m.Files() {
			named = append(named, f.Path)
		}
	}
	slices.Sort(named)
	return filepath.WalkDir(s.path("files"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel := strings.TrimPrefix(path, s.dir+string(filepath.Separator))
		if _, is := slices.BinarySearch(named, rel); is {
			return nil
		}
		return os.Remove(path) //nolint:gosec // nobody else writes here
	})
}
