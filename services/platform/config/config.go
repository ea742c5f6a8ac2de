// Package config reads a binary's environment into one struct and checks it
// whole, so that a bad deployment fails at once and says everything at once.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"time"

	"github.com/caarlos0/env/v11"
)

// Load reads the variables that T's `env` tags name; an empty variable counts
// as unset. Then it calls T's Validate() error, if there is one, and joins all
// problems of both.
func Load[T any](getenv func(string) string) (T, error) {
	var value T
	params, err := env.GetFieldParams(&value)
	if err != nil {
		return value, fmt.Errorf("read configuration tags: %w", err)
	}
	environment := make(map[string]string, len(params))
	for _, p := range params {
		if text := getenv(p.Key); text != "" {
			environment[p.Key] = text
		}
	}
	err = env.ParseWithOptions(&value, env.Options{Environment: environment})
	if v, ok := any(value).(interface{ Validate() error }); ok {
		err = errors.Join(err, v.Validate())
	}
	if err != nil {
		return value, fmt.Errorf("configuration: %w", err)
	}
	return value, nil
}

// Masked maps a configuration to the one log line that shows it: variable name
// to value, secrets masked.
func Masked(v any) map[string]string {
	out := map[string]string{}
	collect(reflect.Indirect(reflect.ValueOf(v)), out)
	return out
}

func collect(v reflect.Value, out map[string]string) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		name, tagged := field.Tag.Lookup("env")
		switch {
		case tagged:
			out[variable(name)] = fmt.Sprint(v.Field(i).Interface())
		case field.Type.Kind() == reflect.Struct:
			collect(v.Field(i), out)
		}
	}
}

// variable cuts the options off a tag such as "DB_DSN,required".
func variable(tag string) string {
	for i, r := range tag {
		if r == ',' {
			return tag[:i]
		}
	}
	return tag
}

const mask = "***"

// Secret is text that never prints: not through fmt, JSON or slog.
type Secret string

// Reveal is the only way to the text.
func (s Secret) Reveal() string { return string(s) }

// String masks the text for fmt.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// GoString masks the text for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText masks the text for JSON and every other encoder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the text as it is.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// LogValue masks the text for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

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
	// ProbeAddr is where /health, /ready and /metrics are answered, host:port; "": on ListenAddr, beside the rest.
	ProbeAddr string `env:"PROBE_ADDR"`
	Version   string `env:"VERSION" envDefault:"dev"` // the image's
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
	if _, _, err := net.SplitHostPort(s.ProbeAddr); s.ProbeAddr != "" && err != nil {
		errs = append(errs, fmt.Errorf("PROBE_ADDR: %w", err))
	}
	if s.DrainDelay < 0 {
		errs = append(errs, errors.New("DRAIN_DELAY: must not be negative"))
	}
	if s.ShutdownTimeout <= 0 {
		errs = append(errs, errors.New("SHUTDOWN_TIMEOUT: must be positive"))
	}
	return errors.Join(errs...)
}
