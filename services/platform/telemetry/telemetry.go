// Package telemetry makes what every service reports itself with: a metrics
// registry of its own and a structured logger. Nothing registers globally.
package telemetry

import (
	"context"
	"io"
	"log/slog"

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
// with the request's id and caller where the context carries them. An unknown
// level means info.
func NewLogger(w io.Writer, level, service, instance string) *slog.Logger {
	var min slog.Level
	if err := min.UnmarshalText([]byte(level)); err != nil {
		min = slog.LevelInfo
	}
	handler := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: min})
	return slog.New(requestHandler{handler}).With("service", service, "instance", instance)
}

// requestHandler adds to each record where its request came from.
type requestHandler struct{ slog.Handler }

func (h requestHandler) Handle(ctx context.Context, r slog.Record) error {
	o := requestinfo.From(ctx)
	if o.RequestID != "" {
		r.AddAttrs(slog.String("request_id", o.RequestID))
	}
	if o.Caller != "" {
		r.AddAttrs(slog.String("caller", o.Caller))
	}
	return h.Handler.Handle(ctx, r)
}

func (h requestHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestHandler{h.Handler.WithAttrs(attrs)}
}

func (h requestHandler) WithGroup(name string) slog.Handler {
	return requestHandler{h.Handler.WithGroup(name)}
}
