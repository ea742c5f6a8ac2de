package service_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"go.uber.org/goleak"

	"bookstore/services/platform/config"
	"bookstore/services/platform/lifecycle"
	"bookstore/services/platform/service"
	"bookstore/services/platform/service/servicetest"
	"bookstore/services/platform/web/webtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, webtest.Leaks()...) }

type settings struct {
	config.Service
	Token config.Secret `env:"TOKEN,required"`
}

func TestADependencyIsCheckedStoppedAndClosed(t *testing.T) {
	t.Parallel()
	var events []string
	note := func(event string) func(context.Context) error {
		return func(context.Context) error { events = append(events, event); return nil }
	}
	s := servicetest.Start(t, "test", func(d *service.Deps, _ settings) (service.App, error) {
		d.OnClose(func() { events = append(events, "close first") })
		d.OnClose(func() { events = append(events, "close second") })
		d.Check("here", func(context.Context) error { return nil })
		d.Checks(func(context.Context) map[string]error { return map[string]error{"away": errors.New("no")} })
		d.Part(lifecycle.Part{Name: "part", Start: note("start part"), Stop: note("stop part")})
		return service.App{Routes: func(app *fiber.App) {
			app.Get("/hello", func(c *fiber.Ctx) error { return c.SendString(d.Name) })
		}}, nil
	}, map[string]string{"TOKEN": "t", "VERSION": "1.2.3", "DRAIN_DELAY": "0s"})
	s.Await("/ready", http.StatusOK)
	if text := s.Await("/hello", http.StatusOK); text != "test" {
		t.Errorf("the route answers %s", text)
	}
	health := s.Await("/health", http.StatusOK)
	for _, want := range []string{`"here":"ok"`, `"away":"unavailable"`, `"service":"test"`, `"version":"1.2.3"`} {
		if !strings.Contains(health, want) {
			t.Errorf("%s is not in %s", want, health)
		}
	}
	s.Stop()
	s.Stopped()
	if want := []string{"start part", "stop part", "close second", "close first"}; !slices.Equal(events, want) {
		t.Errorf("%v, want %v", events, want)
	}
}

func TestAFailedBuildClosesWhatItOpened(t *testing.T) {
	t.Parallel()
	closed, broken := false, errors.New("broken")
	err := service.Run(t.Context(), "test", servicetest.Environment(map[string]string{"TOKEN": "t"}),
		func(d *service.Deps, _ settings) (service.App, error) {
			d.OnClose(func() { closed = true })
			return service.App{}, broken
		})
	if !errors.Is(err, broken) || !closed {
		t.Errorf("error %v, closed %t", err, closed)
	}
}

func TestTheLogShowsTheSettingsButNoSecret(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	env := servicetest.Environment(map[string]string{"TOKEN": "hidden", "DRAIN_DELAY": "7s"})
	env.Stdout = &log
	_ = service.Run(t.Context(), "test", env, func(*service.Deps, settings) (service.App, error) {
		return service.App{}, errors.New("enough")
	})
	if text := log.String(); strings.Count(text, `"configuration"`) != 1 || !strings.Contains(text, `"DRAIN_DELAY":"7s"`) || strings.Contains(text, "hidden") {
		t.Errorf("the log is %s", text)
	}
}
