package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Log is what every program's settings have.
type Log struct {
	LogLevel string `env:"LOG_LEVEL" envDefault:"info"`
	Instance string `env:"INSTANCE" envDefault:"local"` // Nomad's allocation ID
}

// Logging returns the least level that is logged, and what tells the program's instances apart.
func (l Log) Logging() (level, instance string) { return l.LogLevel, l.Instance }

// Validate reports every problem at once.
func (l Log) Validate() error {
	if err := new(slog.Level).UnmarshalText([]byte(l.LogLevel)); err != nil {
		return fmt.Errorf("LOG_LEVEL: %w", err)
	}
	return nil
}

// Service is what every server's settings have.
type Service struct {
	Log

	ListenAddr string `env:"LISTEN_ADDR" envDefault:"127.0.0.1:8080"` // host:port; port 0 picks a free one
	Version    string `env:"VERSION" envDefault:"dev"`                // the image's
	// DrainDelay is how long requests are still served after SIGTERM, while
	// readiness already answers 503 and others learn to go elsewhere.
	DrainDelay time.Duration `env:"DRAIN_DELAY" envDefault:"3s"`
	// ShutdownTimeout bounds what comes after: requests in flight, then parts.
	ShutdownTimeout time.Duration `env:"SHUTDOWN_TIMEOUT" envDefault:"10s"`
}

// Server returns s, whatever struct it is embedded in.
func (s Service) Server() Service { return s }

// Validate reports every problem at once.
func (s Service) Validate() error {
	errs := []error{s.Log.Validate()}
	if _, _, err := net.SplitHostPort(s.ListenAddr); err != nil {
		errs = append(errs, fmt.Errorf("LISTEN_ADDR: %w", err))
	}
	if s.DrainDelay < 0 {
		errs = append(errs, errors.New("DRAIN_DELAY: must not be negative"))
	}
	if s.ShutdownTimeout <= 0 {
		errs = append(errs, errors.New("SHUTDOWN_TIMEOUT: must be positive"))
	}
	return errors.Join(errs...)
}
