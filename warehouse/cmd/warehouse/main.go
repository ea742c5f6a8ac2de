// Command warehouse makes versions of the warehouse and answers from them.
//
//	warehouse run [--full]   exports all databases at one cut and publishes a version
//	warehouse report …       answers (warehouse/report); so do sql and dictionary
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"bookstore/patroni"
	"bookstore/services/platform/config"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/program"
	"bookstore/warehouse/cut"
	"bookstore/warehouse/equations"
	duckdb "bookstore/warehouse/export"
	"bookstore/warehouse/report"
	"bookstore/warehouse/run"
	"bookstore/warehouse/store"
)

// settings come from the environment; DB_* are those of a login that reads all
// databases, of which DB_DSN need not name one.
type settings struct {
	config.Log
	DB        pg.Config
	Dir       string        `env:"WAREHOUSE_DIR,required"`
	FullEvery time.Duration `env:"FULL_EVERY" envDefault:"24h"`
	Keep      time.Duration `env:"KEEP" envDefault:"168h"`
	Timeout   time.Duration `env:"TIMEOUT" envDefault:"1h"`
	Threads   int           `env:"THREADS" envDefault:"2"`
}

// Validate reports every problem at once.
func (s settings) Validate() error {
	errs := []error{s.Log.Validate(), s.DB.Validate()}
	for name, d := range map[string]time.Duration{"FULL_EVERY": s.FullEvery, "KEEP": s.Keep, "TIMEOUT": s.Timeout} {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("%s is %s, it has to be positive", name, d))
		}
	}
	if s.Threads < 1 || s.Threads > 64 {
		errs = append(errs, fmt.Errorf("THREADS is %d, it has to be from 1 to 64", s.Threads))
	}
	// Deleted rows are told for 8 days (services/platform/pg/track.sql).
	if s.FullEvery > 7*24*time.Hour {
		errs = append(errs, errors.New("FULL_EVERY is a week at most"))
	}
	return errors.Join(errs...)
}

func main() { program.Main("warehouse", begin) }

const usage = `usage: warehouse run [--full]
` + report.Usage

func begin(ctx context.Context, env program.Env) error {
	args, full := env.Args, slices.Equal(env.Args, []string{"run", "--full"})
	switch {
	case full || slices.Equal(args, []string{"run"}):
		env.Args = nil
		return program.RunTask(ctx, "warehouse", env, func(ctx context.Context, log *slog.Logger, s settings) error {
			return export(ctx, log, s, full)
		})
	case len(args) > 0 && slices.Contains([]string{"report", "sql", "dictionary"}, args[0]):
		return report.Main(ctx, args, env.Getenv("WAREHOUSE_DIR"), env.Stdin, env.Stdout, env.Stderr)
	}
	return errors.New(usage)
}

func (s settings) source() cut.Source {
	source := cut.Source{Config: s.DB, Coordinator: "coordinatordb"}
	for _, d := range patroni.Databases() {
		source.Databases = append(source.Databases, d.Name)
	}
	return source
}

// export makes and publishes a version.
func export(ctx context.Context, log *slog.Logger, s settings, full bool) (err error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	to, err := store.Open(s.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	c, err := cut.Open(ctx, s.source())
	if err != nil {
		return fmt.Errorf("open a cut: %w", err)
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	log.InfoContext(ctx, "cut", "at", c.At, "timeline", c.Timeline, "lsn", c.LSN, "held_ms", c.Held.Milliseconds())
	r, err := run.Run(ctx, to, c, run.Options{
		Full: full, FullEvery: s.FullEvery, Keep: s.Keep, TableTime: s.Timeout / 4, Log: log, Limits: duckdb.Limits{Threads: s.Threads},
		Check:   equations.Check,
		Confirm: c.Prove,
	})
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "published", "run", r.Manifest.Run, "kind", r.Manifest.Kind, "why_full", r.Why, "rows", r.Read.Rows,
		"bytes", r.Read.Bytes, "tables", len(r.Manifest.Tables), "reading_ms", r.Reading.Milliseconds(), "proving_ms", r.Proving.Milliseconds(),
		"missing", len(r.Manifest.Missing), "unchecked", len(r.Manifest.Unchecked))
	return c.Published(ctx, len(r.Manifest.Missing), len(r.Manifest.Unchecked))
}
