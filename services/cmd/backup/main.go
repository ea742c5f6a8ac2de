// Command backup has the database cluster's leader make the backup that is due.
// It runs to its end.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hashicorp/nomad/api"

	"bookstore/patroni/backup"
	"bookstore/services/platform/config"
	"bookstore/services/platform/telemetry"
)

// settings come from the environment. NOMAD_API is where Nomad's API is, for a
// task `unix://` and the path of its own socket; LEADER is the leader's name in
// Patroni.
type settings struct {
	NomadAPI  string        `env:"NOMAD_API,required"`
	Token     config.Secret `env:"NOMAD_TOKEN"`
	Leader    string        `env:"LEADER,required"`
	FullEvery time.Duration `env:"FULL_EVERY" envDefault:"24h"`
	Timeout   time.Duration `env:"TIMEOUT" envDefault:"2h"`
	LogLevel  string        `env:"LOG_LEVEL" envDefault:"info"`
}

// Validate reports every problem at once.
func (s settings) Validate() error {
	var errs []error
	if s.FullEvery <= 0 {
		errs = append(errs, fmt.Errorf("FULL_EVERY is %s, it has to be positive", s.FullEvery))
	}
	if s.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("TIMEOUT is %s, it has to be positive", s.Timeout))
	}
	return errors.Join(errs...)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "backup:", err)
		os.Exit(1)
	}
}

// run makes one backup. The log goes to stdout.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, _ io.Writer) error {
	if len(args) > 0 {
		return fmt.Errorf("takes no arguments, got %q: the environment configures it", args)
	}
	s, err := config.Load[settings](getenv)
	if err != nil {
		return err
	}
	log := telemetry.NewLogger(stdout, s.LogLevel, "backup", "")
	client, err := api.NewClient(&api.Config{Address: s.NomadAPI, SecretID: string(s.Token)})
	if err != nil {
		return fmt.Errorf("reach Nomad: %w", err)
	}
	defer client.Close()
	leader, err := backup.OnLeader(client, s.Leader)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	return backup.Run(ctx, leader, log, s.FullEvery, time.Now())
}
