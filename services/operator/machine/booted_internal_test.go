package machine

import (
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// Each step is to be done anew, and nothing else changes; a machine that never ran Nomad has nothing to forget.
func TestForget(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	if err := forget(path); err != nil {
		t.Fatalf("without a file: %v", err)
	}
	update := func(do func(*bolt.Tx) error) {
		state, err := bolt.Open(path, 0o600, nil)
		if err == nil {
			err = state.Update(do)
		}
		if err == nil {
			err = state.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	key := []byte("local_state")
	update(func(tx *bolt.Tx) error {
		all, err := tx.CreateBucket(remembered)
		var task *bolt.Bucket
		if err == nil {
			task, err = all.CreateBucket([]byte("an allocation"))
		}
		if err == nil {
			task, err = task.CreateBucket([]byte("task-books"))
		}
		if err == nil {
			err = task.Put(key, []byte("\x81\xacPrestartDone\xc3\xa3Env\xc0"))
		}
		return err
	})
	for range 2 {
		if err := forget(path); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx *bolt.Tx) error {
		value := tx.Bucket(remembered).Bucket([]byte("an allocation")).Bucket([]byte("task-books")).Get(key)
		if string(value) != "\x81\xacPrestartDone\xc2\xa3Env\xc0" {
			t.Errorf("it says %q", value)
		}
		return nil
	})
}
