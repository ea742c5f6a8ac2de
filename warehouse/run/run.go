// Package run makes one version of the warehouse from one cut: it reads what is needed, proves
// that the version is the databases as they were, and publishes it.
package run

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"bookstore/warehouse/cut"
	"bookstore/warehouse/export"
	"bookstore/warehouse/store"
)

// Options of a run. The zero value of each but Log is a good one.
type Options struct {
	Full      bool          // read everything, whatever has changed
	FullEvery time.Duration // how old the last full run may be; 0: 24 h
	Keep      time.Duration // how long versions are kept; 0: 7 days
	AtLeast   int           // of the newest versions, kept however old; 0: 3
	// TableTime is how long one table may take, to read and to prove; 0: 15 minutes. One that takes longer is missing.
	TableTime time.Duration
	Limits    export.Limits
	NoVerify  bool // for measuring only: publish what nobody compared or checked
	Log       *slog.Logger

	// Check reads the version before it is published, through its views; an error refuses it. It is told which tables
	// are not as of the version's cut, and returns what it could not check for want of them.
	Check func(ctx context.Context, duck *sql.DB, missing []string) (unchecked []string, err error)
	// Confirm is called last; an error says that the cut does not stand any more.
	Confirm func(ctx context.Context) error
}

// Report is what a run came to.
type Report struct {
	Manifest *store.Manifest
	Why      string // it was a full one; empty: it was not
	Read     export.Size
	Reading  time.Duration // until all files were written
	Proving  time.Duration
}

// Run makes a version of the cut and publishes it. An error leaves the last version as it was. The
// snapshots' transactions stay open, and their connections are the caller's to close.
func Run(ctx context.Context, s *store.Store, c *cut.Cut, o Options) (*Report, error) {
	last, err := s.Last()
	if err != nil {
		return nil, err
	}
	draft, err := s.Begin(c.At, o.Limits)
	if err != nil {
		return nil, err
	}
	w := &work{cut: c, last: last, draft: draft, options: o, report: &Report{Why: whyFull(last, c, o)}}
	for i := range c.Snapshots {
		w.sources = append(w.sources, &source{Snapshot: &c.Snapshots[i]})
	}
	if err := w.make(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("run %s: %w", draft.Run, err), draft.Drop())
	}
	if err := draft.Publish(ctx, w.manifest); err != nil {
		return nil, err
	}
	return w.report, s.Prune(positive(o.Keep, 7*24*time.Hour), positive(o.AtLeast, 3), c.At)
}

// work is a run that is going on.
type work struct {
	cut      *cut.Cut
	sources  []*source
	last     *store.Manifest // nil: there is none
	draft    *store.Draft
	options  Options
	manifest *store.Manifest
	mu       sync.Mutex
	report   *Report
}

func (w *work) make(ctx context.Context) error {
	began := time.Now()
	w.manifest = w.begin()
	w.report.Manifest = w.manifest
	if err := w.read(ctx); err != nil {
		return err
	}
	if err := w.reportMissing(ctx); err != nil {
		return err
	}
	if err := w.draft.Views(ctx, w.manifest); err != nil {
		return err
	}
	w.report.Reading = time.Since(began)
	if !w.options.NoVerify {
		if err := w.prove(ctx); err != nil {
			return err
		}
	}
	if err := w.draft.History(ctx, w.manifest, w.last); err != nil {
		return err
	}
	for _, hook := range []func(context.Context) error{w.check, w.options.Confirm} {
		if hook == nil {
			continue
		}
		if err := hook(ctx); err != nil {
			return err
		}
	}
	w.noteMissing(ctx)
	w.report.Proving = time.Since(began) - w.report.Reading
	return nil
}

func (w *work) check(ctx context.Context) (err error) {
	if w.options.Check == nil {
		return nil
	}
	var missing []string
	for _, m := range w.manifest.Missing {
		missing = append(missing, m.Database+"."+m.Table)
	}
	w.manifest.Unchecked, err = w.options.Check(ctx, w.draft.Duck, missing)
	return err
}

// begin is the manifest before anything is read.
func (w *work) begin() *store.Manifest {
	c := w.cut
	m := &store.Manifest{
		Run: w.draft.Run, Kind: store.Full, At: c.At, FullAt: c.At, System: c.System, Timeline: c.Timeline, LSN: c.LSN,
		Xmin: map[string]uint64{},
	}
	if w.report.Why == "" {
		m.Kind, m.FullAt, m.Slice = store.Incremental, w.last.FullAt, (w.last.Slice+1)%export.Slices
	}
	for _, s := range c.Snapshots {
		m.Xmin[s.Database] = s.Xmin
	}
	return m
}

// note tells people of the log and readers of the version the same; the log once.
func (w *work) note(ctx context.Context, text string) {
	w.manifest.Notes = append(w.manifest.Notes, text)
	level := slog.LevelInfo
	if w.last != nil && slices.Contains(w.last.Notes, text) {
		level = slog.LevelDebug
	}
	w.options.Log.Log(ctx, level, text, "run", w.draft.Run)
}

func positive[T int | time.Duration](n, otherwise T) T {
	if n > 0 {
		return n
	}
	return otherwise
}

// whyFull says why everything must be read; empty: it need not.
func whyFull(last *store.Manifest, c *cut.Cut, o Options) string {
	switch {
	case last == nil:
		return "there is no version yet"
	case o.Full:
		return "it was asked for"
	case last.System != c.System:
		return "the cluster is another one"
	case last.Timeline != c.Timeline:
		return fmt.Sprintf("the timeline went from %d to %d", last.Timeline, c.Timeline)
	case c.At.Sub(last.FullAt) >= positive(o.FullEvery, 24*time.Hour):
		return "the last full run is too long ago"
	}
	return ""
}
