package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/nomad/api"

	"bookstore/services/platform/config"
)

// Settings come from the environment. REPOSITORY is the number of the one to back up to. NOMAD_API is where Nomad's API is, for a
// task `unix://` and the path of its own socket; LEADER is the leader's name in
// Patroni.
type Settings struct {
	config.Log
	Repository Repository    `env:"REPOSITORY,required"`
	NomadAPI   string        `env:"NOMAD_API,required"`
	Token      config.Secret `env:"NOMAD_TOKEN"`
	Leader     string        `env:"LEADER,required"`
	FullEvery  time.Duration `env:"FULL_EVERY" envDefault:"24h"`
	Timeout    time.Duration `env:"TIMEOUT" envDefault:"2h"`
}

// Validate reports every problem at once.
func (s Settings) Validate() error {
	errs := []error{s.Log.Validate()}
	if s.Repository != Volume && s.Repository != S3 {
		errs = append(errs, fmt.Errorf("REPOSITORY is %d, it has to be %d or %d", s.Repository, Volume, S3))
	}
	if s.FullEvery <= 0 {
		errs = append(errs, fmt.Errorf("FULL_EVERY is %s, it has to be positive", s.FullEvery))
	}
	if s.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("TIMEOUT is %s, it has to be positive", s.Timeout))
	}
	return errors.Join(errs...)
}

// Task makes the backup that is due (Run) on the leader, which it reaches by Nomad.
func Task(ctx context.Context, log *slog.Logger, s Settings) error {
	client, err := api.NewClient(&api.Config{Address: s.NomadAPI, SecretID: s.Token.Reveal()})
	if err != nil {
		return fmt.Errorf("reach Nomad: %w", err)
	}
	defer client.Close()
	leader, err := OnLeader(client, s.Leader)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	return Run(ctx, leader, log, s.Repository, s.FullEvery, time.Now())
}
