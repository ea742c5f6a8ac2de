package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

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
