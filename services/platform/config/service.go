package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Service is what every service's configuration has; embed it.
type Service struct {
	ListenAddr string `env:"LISTEN_ADDR" envDefault:"127.0.0.1:8080"`
	LogLevel   string `env:"LOG_LEVEL" envDefault:"info"`
	Version    string `env:"VERSION" envDefault:"dev"`
	Instance   string `env:"INSTANCE" envDefault:"local"`
	// DrainDelay is how long requests are still served after SIGTERM, while
	// readiness already answers 503 and others learn to go elsewhere.
	DrainDelay time.Duration `env:"DRAIN_DELAY" envDefault:"3s"`
	// ShutdownTimeout bounds what comes after: requests in flight, then parts.
	ShutdownTimeout time.Duration `env:"SHUTDOWN_TIMEOUT" envDefault:"10s"`
}

// Validate reports every problem at once.
func (s Service) Validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(s.ListenAddr); err != nil {
		errs = append(errs, fmt.Errorf("LISTEN_ADDR: %w", err))
	}
	if err := new(slog.Level).UnmarshalText([]byte(s.LogLevel)); err != nil {
		errs = append(errs, fmt.Errorf("LOG_LEVEL: %w", err))
	}
	if s.DrainDelay < 0 {
		errs = append(errs, errors.New("DRAIN_DELAY: must not be negative"))
	}
	if s.ShutdownTimeout <= 0 {
		errs = append(errs, errors.New("SHUTDOWN_TIMEOUT: must be positive"))
	}
	return errors.Join(errs...)
}
