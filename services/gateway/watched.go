package gateway

import (
	"os"
	"sync"
	"time"
)

// stampEvery is the pause between checks whether a file has changed.
const stampEvery = time.Second

// watched is what a file says. The file is read again when it changes, so that a rotation needs no restart.
type watched[T any] struct {
	path  string
	parse func(content []byte) (T, error)

	mu      sync.Mutex
	stamp   fileStamp
	checked time.Time
	value   T
}

type fileStamp struct {
	modified time.Time
	size     int64
}

// watch reads the file at path; an empty path is the zero value for ever.
func watch[T any](path string, parse func([]byte) (T, error)) (*watched[T], error) {
	w := &watched[T]{path: path, parse: parse}
	if path == "" {
		return w, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w, w.load()
}

// current is what the file says now; one that cannot be read leaves what it said before.
func (w *watched[T]) current() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.path == "" || time.Since(w.checked) < stampEvery {
		return w.value
	}
	w.checked = time.Now()
	if stamp, err := stampOf(w.path); err == nil && stamp != w.stamp {
		// A half-written file is read again a second later.
		_ = w.load()
	}
	return w.value
}

// load reads the file; the caller holds mu.
func (w *watched[T]) load() error {
	stamp, err := stampOf(w.path)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(w.path)
	if err != nil {
		return err
	}
	value, err := w.parse(content)
	if err != nil {
		return err
	}
	w.value, w.stamp, w.checked = value, stamp, time.Now()
	return nil
}

func stampOf(path string) (fileStamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}, err
	}
	return fileStamp{modified: info.ModTime(), size: info.Size()}, nil
}
