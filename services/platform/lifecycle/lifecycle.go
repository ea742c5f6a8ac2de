// Package lifecycle runs a service from its bound port to its ordered stop.
//
//	bind ─► serve, not ready ─► Startup (retried) ─► parts start ─► ready
//	                                                                  │ ctx done
//	parts stop, last first ◄─ requests in flight end ◄─ drain delay ◄─┘ not ready
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/wait"
)

// startupTimeout bounds one try of Startup: a dependency may never answer.
const startupTimeout = 10 * time.Second

// startupPauses are those between two tries.
var startupPauses = wait.Backoff{First: 100 * time.Millisecond, Most: 2 * time.Second}

// Part is something that works beside the requests, such as a scanner. Start
// returns at once and must be safe to follow with Stop; the context it gets
// lives until the service stops. Stop returns when the part has ended.
type Part struct {
	Name  string
	Start func(ctx context.Context) error
	Stop  func(ctx context.Context) error
}

// Options of Serve. App, Addr and Gate are required.
type Options struct {
	App  *fiber.App
	Addr string // host:port; port 0 picks a free one
	// Probes is served at ProbeAddr from before App until after it; nil: nothing is.
	Probes    *fiber.App
	ProbeAddr string
	Log       *slog.Logger
	Gate      *Gate
	// Startup is retried with growing pauses until it returns nil, each try within 10 s. nil means that there is nothing
	// to wait for. A dependency that is away delays readiness and never ends the process.
	Startup         func(ctx context.Context) error
	DrainDelay      time.Duration
	ShutdownTimeout time.Duration
	Parts           []Part
	Listening       func(net.Addr) // told the bound address; may be nil
}

// Serve runs the service until ctx ends, then stops it in order. It returns
// nil after an orderly stop.
func Serve(ctx context.Context, o Options) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	end, err := o.serveProbes(ctx)
	if err != nil {
		return err
	}
	defer end()
	listener, err := bind(ctx, o.Addr)
	if err != nil {
		return err
	}
	if o.Listening != nil {
		o.Listening(listener.Addr())
	}
	o.Log.Info("listening", "addr", listener.Addr().String())

	served := make(chan error, 1)
	go func() { served <- o.App.Listener(listener) }()

	life, endLife := context.WithCancel(context.WithoutCancel(ctx))
	defer endLife()
	r := &run{Options: o, life: life, listener: listener, served: served}
	err = r.untilDone(ctx)
	return errors.Join(err, r.stop(ctx))
}

func bind(ctx context.Context, addr string) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("bind %s: %w", addr, err)
	}
	return listener, nil
}

// serveProbes begins to serve the probes; end ends it.
func (o Options) serveProbes(ctx context.Context) (end func(), err error) {
	if o.Probes == nil {
		return func() {}, nil
	}
	listener, err := bind(ctx, o.ProbeAddr)
	if err != nil {
		return nil, err
	}
	served := make(chan error, 1)
	go func() { served <- o.Probes.Listener(listener) }()
	return func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.ShutdownTimeout)
		defer cancel()
		_ = o.Probes.ShutdownWithContext(limit) // the process ends
		_ = listener.Close()
		<-served //nolint:errcheck // it ended because it was told to
	}, nil
}

// run is one run of Serve.
type run struct {
	Options
	life     context.Context // of the parts
	listener net.Listener
	served   chan error
	started  []Part
}

// untilDone starts what there is to start and returns nil when ctx ends, or
// the failure that ends the run before.
func (r *run) untilDone(ctx context.Context) error {
	if !r.startup(ctx) {
		return nil // told to stop before it had started
	}
	for _, part := range r.Parts {
		if err := part.Start(r.life); err != nil {
			return fmt.Errorf("start %s: %w", part.Name, err)
		}
		r.started = append(r.started, part)
	}
	r.Gate.Open()
	r.Log.Info("ready")
	select {
	case <-ctx.Done():
		return nil
	case err := <-r.served:
		r.served <- err
		return fmt.Errorf("serve: %w", err)
	}
}

// startup retries Startup until it succeeds; false when ctx ended before.
func (r *run) startup(ctx context.Context) bool {
	if r.Startup == nil {
		return ctx.Err() == nil
	}
	for failures := 1; ; failures++ {
		err := r.tryStartup(ctx)
		if err == nil {
			return ctx.Err() == nil
		}
		pause := startupPauses.After(failures)
		r.Log.Warn("not started yet", "error", err.Error(), "again_in", pause.String())
		if !wait.For(ctx, pause) {
			return false
		}
	}
}

func (r *run) tryStartup(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startupTimeout)
	defer cancel()
	return r.Startup(ctx)
}

// stop closes the gate, serves on for the drain delay, lets requests in flight
// end, then stops the parts, the last started first.
func (r *run) stop(ctx context.Context) error {
	r.Gate.Close()
	r.Log.Info("draining", "for", r.DrainDelay.String())
	free := context.WithoutCancel(ctx)
	wait.For(free, r.DrainDelay)

	limit, cancel := context.WithTimeout(free, r.ShutdownTimeout)
	defer cancel()
	var errs []error
	if err := r.endRequests(limit); err != nil {
		errs = append(errs, fmt.Errorf("end requests: %w", err))
	}
	for _, v := range slices.Backward(r.started) {
		if err := v.Stop(limit); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", v.Name, err))
		}
	}
	r.Log.Info("stopped")
	return errors.Join(errs...)
}

// endRequests returns when the last request is answered and the server is gone.
// The listener is closed here too: a server told to stop before it took the
// listener over would leave it open.
func (r *run) endRequests(limit context.Context) error {
	err := r.App.ShutdownWithContext(limit)
	_ = r.listener.Close()
	select {
	case <-r.served: //nolint:errcheck // it ended because it was told to
		return err
	case <-limit.Done():
		return errors.Join(err, limit.Err())
	}
}

// Gate is a service's readiness. It starts closed, opens when the service has
// started and closes for good when the service is told to stop.
type Gate struct{ open atomic.Bool }

// Ready reports whether the service should get requests.
func (g *Gate) Ready() bool { return g.open.Load() }

// Open makes the service ready.
func (g *Gate) Open() { g.open.Store(true) }

// Close makes the service not ready, because it stops.
func (g *Gate) Close() { g.open.Store(false) }

// Every makes a part that calls do repeatedly, with a pause between. A failure is logged. The context ends with the
// service, so do must bound each call that it makes: one that hangs would be the last.
func Every(name string, pause time.Duration, log *slog.Logger, do func(ctx context.Context) error) Part {
	return Throughout(name, func(ctx context.Context) {
		for wait.For(ctx, pause) {
			if err := do(ctx); err != nil && ctx.Err() == nil {
				log.Warn("failed, again after a pause", "part", name, "error", err.Error())
			}
		}
	})
}

// Throughout makes a part that runs one function. Its stop cancels the function's context and waits for its return.
func Throughout(name string, run func(ctx context.Context)) Part {
	var cancel context.CancelFunc
	done := make(chan struct{})
	start := func(ctx context.Context) error {
		ctx, cancel = context.WithCancel(ctx) //nolint:gosec // stop calls it
		go func() {
			defer close(done)
			run(ctx)
		}()
		return nil
	}
	stop := func(ctx context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return Part{Name: name, Start: start, Stop: stop}
}
