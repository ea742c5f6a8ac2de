package program_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"bookstore/services/platform/config"
	"bookstore/services/platform/program"
)

type settings struct{ config.Log }

// A task leaves none of its secrets behind when it has succeeded, and all of them for its restart when it has not.
func TestATaskEmptiesItsSecrets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ends error
		left string
	}{"succeeds": {nil, ""}, "fails": {errors.New("no leader"), "secret"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			file := filepath.Join(folder, "tls", "leaf.pem")
			if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("secret"), 0o600)); err != nil {
				t.Fatal(err)
			}
			env := program.Env{Stdout: io.Discard, Getenv: func(name string) string { return map[string]string{"NOMAD_SECRETS_DIR": folder}[name] }}
			err := program.RunTask(t.Context(), "task", env, func(context.Context, *slog.Logger, settings) error { return c.ends })
			if !errors.Is(err, c.ends) {
				t.Fatal(err)
			}
			if left, err := os.ReadFile(file); err != nil || string(left) != c.left {
				t.Errorf("%q is left, %v; want %q", left, err, c.left)
			}
		})
	}
}
