package pg

import (
	"context"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// longestCall is how long a call to a database may take whose caller sets no
// deadline, or on a pool one that is farther away, such as that of a stream.
// That is a mistake: the caller's own bound would fit what it does.
const longestCall = 10 * time.Second

// bounds makes sure that every call to a database ends. A server that vanished
// says nothing, so only the client can end a call to it. pgx makes a call with
// the context that the tracer returns: one without a bound is given longestCall,
// counted by the function that made the call, and reported to the tests of that
// function.
//
// pgx tells no tracer of pipelines and of pgconn's own calls. An architecture
// test says who may use them.
type bounds struct {
	missing *prometheus.CounterVec
	far     bool // any deadline will do: migrations, the warehouse's reads
	// report is nil outside tests.
	report func(call string, stack []runtime.Frame) (excused bool)
}

var _ interface {
	pgx.QueryTracer
	pgx.BatchTracer
	pgx.CopyFromTracer
	pgx.PrepareTracer
	pgxpool.AcquireTracer
} = (*bounds)(nil)

func newBounds(name string, reg *prometheus.Registry) *bounds {
	b := &bounds{missing: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name:        "db_calls_without_deadline_total",
		Help:        "Database calls without a deadline within 10 s, by the function that made them. Each is a mistake; it was given 10 s.",
		ConstLabels: prometheus.Labels{"pool": name},
	}, []string{"caller"})}
	if reg != nil {
		reg.MustRegister(b.missing)
	}
	return b
}

// Option changes a pool.
type Option func(*watch)

// OnUnbounded has report called for every call without a deadline, with the
// stack of whoever made it, the innermost function outside pgx first. A call
// that report excuses is left without one.
func OnUnbounded(report func(call string, stack []runtime.Frame) (excused bool)) Option {
	return func(w *watch) { w.bounds.report = report }
}

// boundKey is where a call's context keeps what releases it: a func().
type boundKey struct{}

// begin returns the context that the call is made with.
func (b *bounds) begin(ctx context.Context, call string) context.Context {
	if deadline, ok := ctx.Deadline(); ok && (b.far || time.Until(deadline) <= longestCall) {
		if ctx.Value(boundKey{}) != nil { // a call within a call: the outer one ends it
			return context.WithValue(ctx, boundKey{}, func() {})
		}
		return ctx
	}
	stack := callers()
	caller := "unknown"
	if len(stack) > 0 {
		caller = stack[0].Function
	}
	b.missing.WithLabelValues(caller).Inc()
	if b.report != nil && b.report(call, stack) {
		return ctx
	}
	ctx, cancel := context.WithTimeout(ctx, longestCall)
	return context.WithValue(ctx, boundKey{}, func() { cancel() })
}

// end releases what begin made.
func (*bounds) end(ctx context.Context) {
	if release, ok := ctx.Value(boundKey{}).(func()); ok {
		release()
	}
}

// callers are the functions on the stack from the one that called pgx or this
// package.
func callers() []runtime.Frame {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var stack []runtime.Frame
	for {
		frame, more := frames.Next()
		library := strings.HasPrefix(frame.Function, "github.com/jackc/") || strings.HasPrefix(frame.Function, "bookstore/services/platform/pg.")
		if len(stack) > 0 || !library {
			stack = append(stack, frame)
		}
		if !more {
			return stack
		}
	}
}

// TraceQueryStart bounds a query or a statement.
func (b *bounds) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return b.begin(ctx, data.SQL)
}

// TraceQueryEnd is called once the rows are read.
func (b *bounds) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) { b.end(ctx) }

// TraceBatchStart bounds a batch.
func (b *bounds) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return b.begin(ctx, "batch")
}

// TraceBatchQuery is called for each result.
func (*bounds) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd is called once the results are read.
func (b *bounds) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchEndData) { b.end(ctx) }

// TraceCopyFromStart bounds a copy.
func (b *bounds) TraceCopyFromStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceCopyFromStartData) context.Context {
	return b.begin(ctx, "copy to "+data.TableName.Sanitize())
}

// TraceCopyFromEnd is called once the copy is made.
func (b *bounds) TraceCopyFromEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceCopyFromEndData) {
	b.end(ctx)
}

// TracePrepareStart bounds the preparation of a statement.
func (b *bounds) TracePrepareStart(ctx context.Context, _ *pgx.Conn, data pgx.TracePrepareStartData) context.Context {
	return b.begin(ctx, data.SQL)
}

// TracePrepareEnd is called once the statement is prepared.
func (b *bounds) TracePrepareEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TracePrepareEndData) {
	b.end(ctx)
}

// TraceAcquireStart bounds the wait for a connection.
func (b *bounds) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	return b.begin(ctx, "acquire a connection")
}

// TraceAcquireEnd is called once there is a connection, or none to be had.
func (b *bounds) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireEndData) {
	b.end(ctx)
}
