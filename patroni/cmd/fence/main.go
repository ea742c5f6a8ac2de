// Command fence makes the death of the Patroni member beside it certain, and tells Consul.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/patroni/fence"
	"bookstore/patroni/rest"
	"bookstore/services/platform/config"
	"bookstore/services/platform/consultls"
	"bookstore/services/platform/program"
)

// settings come from the environment: those of the member under their own names, and those
// that Nomad gives every task.
type settings struct {
	Scope      string        `env:"PATRONI_SCOPE,required"`
	Member     string        `env:"PATRONI_NAME,required"`
	REST       string        `env:"PATRONI_RESTAPI_CONNECT_ADDRESS,required"`
	Status     string        `env:"NOMAD_ADDR_status,required"`
	Data       string        `env:"DATA_DIR" envDefault:"/data"`
	Job        string        `env:"NOMAD_JOB_ID,required"`
	Allocation string        `env:"NOMAD_ALLOC_ID,required"`
	Secrets    string        `env:"NOMAD_SECRETS_DIR,required"`
	Token      config.Secret `env:"NOMAD_TOKEN,required"`
	// Frozen is how long a leader may be silent before it is killed.
	Frozen   time.Duration `env:"FROZEN_AFTER" envDefault:"4s"`
	LogLevel string        `env:"LOG_LEVEL" envDefault:"info"`
}

// every is the time between two questions to the member.
const every = time.Second

// Validate reports every problem at once.
func (s settings) Validate() error {
	var problems []error
	if u, err := url.Parse("https://" + s.REST); err != nil || u.Port() == "" {
		problems = append(problems, fmt.Errorf("PATRONI_RESTAPI_CONNECT_ADDRESS: %q is no host:port", s.REST))
	}
	if s.Frozen < 2*every {
		problems = append(problems, fmt.Errorf("FROZEN_AFTER: one question of %s alone proves nothing: at least %s", every, 2*every))
	}
	return errors.Join(problems...)
}

// Logging names the member in the log.
func (s settings) Logging() (level, instance string) { return s.LogLevel, s.Member }

func main() { program.Task("fence", watch) }

// watch watches the member until ctx ends.
func watch(ctx context.Context, log *slog.Logger, s settings) error {
	toNomad, err := nomad.NewClient(&nomad.Config{
		Address:  "unix://" + filepath.Join(s.Secrets, "api.sock"),
		SecretID: s.Token.Reveal(),
	})
	if err != nil {
		return fmt.Errorf("make Nomad's client: %w", err)
	}
	f, err := s.fence(toNomad)
	if err != nil {
		return err
	}
	f.Log = log
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	job := fence.NomadJob{Client: toNomad, Name: s.Job, Scope: s.Scope}
	status := fence.Status{Member: f.Member, Staying: job.Staying, Address: s.Status}
	failed := make(chan error, 1)
	go func() {
		failed <- status.Serve(ctx)
		cancel()
	}()
	f.Run(ctx)
	cancel()
	return <-failed
}

func (s settings) fence(toNomad *nomad.Client) (*fence.Fence, error) {
	// Address, CA and token are in the job's environment. Without connections kept, none of a restarted agent is tried again.
	settings := consul.DefaultNonPooledConfig()
	if err := consultls.Follow(settings); err != nil {
		return nil, err
	}
	toConsul, err := consul.NewClient(settings)
	if err != nil {
		return nil, fmt.Errorf("make Consul's client: %w", err)
	}
	return &fence.Fence{
		Lock: fence.NewLock(s.Data),
		Member: fence.Member{
			URL:    "https://" + s.REST,
			Client: rest.Client(rest.FromFiles(filepath.Join(s.Secrets, "tls", "leaf.pem"), filepath.Join(s.Secrets, "tls", "ca.pem"))),
		},
		Heartbeat: fence.HeartbeatFile(filepath.Join(s.Data, ".alive")),
		Sessions:  fence.ConsulSessions{Client: toConsul, Scope: s.Scope, Member: s.Member},
		Task:      fence.NomadTask{Client: toNomad, Allocation: s.Allocation, Name: "patroni"},
		Every:     every,
		Frozen:    s.Frozen,
	}, nil
}
