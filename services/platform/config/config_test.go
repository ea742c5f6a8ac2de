package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"bookstore/services/platform/config"
)

type database struct {
	DSN config.Secret `env:"DB_DSN,required"`
}

type example struct {
	config.Service
	Database database
	Size     int `env:"SIZE" envDefault:"3"`
}

func (e example) Validate() error {
	errs := e.Service.Validate()
	if e.Size < 1 {
		errs = errors.Join(errs, errors.New("SIZE: must be positive"))
	}
	return errs
}

func environ(pairs ...string) func(string) string {
	values := map[string]string{}
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		values[name] = value
	}
	return func(name string) string { return values[name] }
}

func TestLoadFillsNestedStructsAndDefaults(t *testing.T) {
	got, err := config.Load[example](environ("DB_DSN=postgres://u:p@h/db", "DRAIN_DELAY=5s", "SIZE="))
	if err != nil {
		t.Fatal(err)
	}
	if got.Database.DSN.Reveal() != "postgres://u:p@h/db" || got.DrainDelay != 5*time.Second || got.Size != 3 {
		t.Errorf("got %+v", got)
	}
}

func TestLoadReportsEveryProblemAtOnce(t *testing.T) {
	_, err := config.Load[example](environ("LISTEN_ADDR=nowhere", "LOG_LEVEL=loud", "SIZE=-1"))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"DB_DSN", "LISTEN_ADDR", "LOG_LEVEL", "SIZE"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %q", name, err)
		}
	}
}

func TestSecretsNeverPrint(t *testing.T) {
	cfg, err := config.Load[example](environ("DB_DSN=hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("configuration", "config", config.Masked(cfg), "dsn", cfg.Database.DSN, "whole", cfg)
	encoded, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{log.String(), string(encoded), fmt.Sprintf("%v %+v %#v %s", cfg, cfg, cfg, cfg.Database.DSN)} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the secret shows in %q", text)
		}
	}
	if masked := config.Masked(cfg); masked["DB_DSN"] != "***" || masked["SIZE"] != "3" || masked["DRAIN_DELAY"] != "3s" {
		t.Errorf("got %v", masked)
	}
}
