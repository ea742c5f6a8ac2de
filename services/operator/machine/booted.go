package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Nomad's client keeps for each task of its node which steps before the start are done, as MessagePack, in its file of state.
var (
	remembered = []byte("allocations")
	done       = []byte("PrestartDone\xc3") // true
	undone     = []byte("PrestartDone\xc2") // false
)

// Booted has this machine's Nomad, before it starts for the first time after a boot, prepare its tasks anew. It would go on
// with what it remembers of them otherwise: with containers whose network is no more, and without the tokens that tasks had
// in memory, so that no sidecar would come back (seen in 1.11.3).
func Booted(ctx context.Context) error {
	if Alive("nomad") {
		return errors.New("Nomad runs already") //nolint:staticcheck // a name
	}
	names, err := docker(ctx, "ps", "--all", "--quiet", "--filter", "label=com.hashicorp.nomad.alloc_id")
	if err != nil {
		return err
	}
	if containers := strings.Fields(names); len(containers) > 0 {
		if _, err := docker(ctx, append([]string{"rm", "--force"}, containers...)...); err != nil {
			return err
		}
	}
	return forget(filepath.Join(State, "nomad/client/state.db"))
}

// forget has no step be done in a file of state, if there is one.
func forget(path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	state, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: 5 * time.Second})
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	err = state.Update(func(tx *bolt.Tx) error {
		all := tx.Bucket(remembered)
		if all == nil {
			return nil
		}
		return undo(all)
	})
	if err := errors.Join(err, state.Close()); err != nil {
		return fmt.Errorf("change what %s says of tasks: %w", path, err)
	}
	return nil
}

// undo does it in a bucket and those below.
func undo(bucket *bolt.Bucket) error {
	changed := map[string][]byte{}
	err := bucket.ForEach(func(key, value []byte) error {
		if value == nil {
			return undo(bucket.Bucket(key))
		}
		if bytes.Contains(value, done) {
			changed[string(key)] = bytes.ReplaceAll(value, done, undone)
		}
		return nil
	})
	for key, value := range changed {
		err = errors.Join(err, bucket.Put([]byte(key), value))
	}
	return err
}
