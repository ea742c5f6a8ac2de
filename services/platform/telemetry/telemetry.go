// Package telemetry makes what every service reports itself with: a metrics
// registry of its own and a structured logger. Nothing registers globally.
package telemetry

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"bookstore/services/platform/requestinfo"
)

// NewRegistry returns a registry with Go runtime and process metrics and
// service_info, whose labels tell which build runs.
func NewRegistry(service, version string) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "service_info",
		Help:        "Always 1; the labels tell which build of which service runs.",
		ConstLabels: prometheus.Labels{"service": service, "version": version},
	})
	info.Set(1)
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		info,
	)
	return registry
}

// NewLogger writes one JSON object a line, each with service and instance, and
// with the request's id, caller, transaction (gid) and saga where the context
// carries them. An unknown level means info. FollowSignals changes the level
// that is returned.
func NewLogger(w io.Writer, level, service, instance string) (*slog.Logger, *slog.LevelVar) {
	var min slog.LevelVar
	if err := min.UnmarshalText([]byte(level)); err != nil {
		min.Set(slog.LevelInfo)
	}
	handler := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: &min})
	return slog.New(requestHandler{handler}).With("service", service, "instance", instance), &min
}

// FollowSignals has SIGUSR1 set level to debug, and SIGUSR2 set it to what it is now, until ctx ends. It says so in log.
func FollowSignals(ctx context.Context, log *slog.Logger, level *slog.LevelVar) {
	configured := level.Level()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-signals:
				if s == syscall.SIGUSR1 {
					level.Set(slog.LevelDebug)
				} else {
					level.Set(configured)
				}
				log.Warn("log level changed", "to", level.Level().String())
			}
		}
	}()
}

// requestHandler adds to each record where its request came from and what it is about.
type requestHandler struct{ slog.Handler }

func (h requestHandler) Handle(ctx context.Context, r slog.Record) error {
	o := requestinfo.From(ctx)
	addUnlessSaid(&r, "request_id", o.RequestID)
	addUnlessSaid(&r, "caller", o.Caller)
	addUnlessSaid(&r, "gid", o.GID())
	addUnlessSaid(&r, "saga", o.Saga())
	return h.Handler.Handle(ctx, r)
}

// addUnlessSaid adds an attribute that has a value, unless the record has one of that name.
func addUnlessSaid(r *slog.Record, name, value string) {
	said := value == ""
	r.Attrs(func(a slog.Attr) bool {
		said = said || a.Key == name
		return !said
	})
	if !said {
		r.AddAttrs(slog.String(name, value))
	}
}

func (h requestHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestHandler{h.Handler.WithAttrs(attrs)}
}

func (h requestHandler) WithGroup(name string) slog.Handler {
	return requestHandler{h.Handler.WithGroup(name)}
}
