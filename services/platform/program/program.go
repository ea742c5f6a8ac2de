// Package program runs a program from its command line to its exit code. It does what is the same in all of them: the
// context that signals end, the settings, the log, and how an error is reported. Servers use package service, which
// builds on it.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"bookstore/services/platform/config"
	"bookstore/services/platform/telemetry"
)

// Env is what a program is given by its process. Tests make their own.
type Env struct {
	Args           []string // without the program's name
	Getenv         func(name string) string
	Stdin          io.Reader
	Stdout, Stderr io.Writer // servers and tasks write their log to Stdout
}

// Main calls run with the process's arguments, environment and streams, and a context that SIGINT and SIGTERM end.
// An error is printed with the program's name, and the exit code is 1.
func Main(name string, run func(ctx context.Context, env Env) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, Env{Args: os.Args[1:], Getenv: os.Getenv, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}

// Settings are a struct that embeds config.Log or config.Service.
type Settings interface {
	Logging() (level, instance string)
}

// Task runs a program that does one thing and ends.
func Task[S Settings](name string, do func(ctx context.Context, log *slog.Logger, settings S) error) {
	Main(name, func(ctx context.Context, env Env) error { return RunTask(ctx, name, env, do) })
}

// RunTask is Task within env. After success it empties the secrets that Nomad rendered for it: Nomad keeps the folder of a
// finished task for hours. After a failure they stay, because a restart does not render them anew.
func RunTask[S Settings](ctx context.Context, name string, env Env, do func(context.Context, *slog.Logger, S) error) error {
	ctx, ended := context.WithCancel(ctx)
	defer ended() // and with it what Prepare started
	settings, log, err := Prepare[S](ctx, name, env)
	if err != nil {
		return err
	}
	if err := do(ctx, log, settings); err != nil {
		return err
	}
	if folder := env.Getenv("NOMAD_SECRETS_DIR"); folder != "" {
		return empty(folder)
	}
	return nil
}

// empty truncates the files of a folder that this process may write to. Nomad's own, which are root's, it may not; what
// they hold is worth nothing once the task has ended.
func empty(folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("empty the secrets: %w", err)
	}
	defer func() { _ = root.Close() }() // it was only read
	return fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			var file *os.File
			if file, err = root.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0); err == nil {
				err = file.Close()
			}
		}
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("empty the secrets: %w", err)
		}
		return nil
	})
}

// Prepare reads the settings from the environment and logs them once, with secrets masked. It fails when there are
// arguments, and names every setting that is invalid. Until ctx ends, SIGUSR1 and SIGUSR2 change the level of the log
// (telemetry.FollowSignals).
func Prepare[S Settings](ctx context.Context, name string, env Env) (S, *slog.Logger, error) {
	if len(env.Args) > 0 {
		var none S
		return none, nil, fmt.Errorf("takes no arguments, got %q: the environment configures it", env.Args)
	}
	settings, err := config.Load[S](env.Getenv)
	if err != nil {
		return settings, nil, err
	}
	level, instance := settings.Logging()
	log, min := telemetry.NewLogger(env.Stdout, level, name, instance)
	telemetry.FollowSignals(ctx, log, min)
	log.Info("configuration", "config", config.Masked(settings))
	return settings, log, nil
}
