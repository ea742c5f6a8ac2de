package run

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"bookstore/warehouse/catalogue"
	"bookstore/warehouse/cut"
	"bookstore/warehouse/export"
	"bookstore/warehouse/store"
)

// atOnce is how many databases are read at a time; each has one connection.
const atOnce = 2

// mostDeltas are carried on as they are; one more, and they become one. Two hours' worth by default.
const mostDeltas = 24

// each does the same for all databases, and stops all of it at the first error.
func (w *work) each(ctx context.Context, do func(ctx context.Context, n int, s *cut.Snapshot) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for n := range w.cut.Snapshots {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			err := ctx.Err()
			if err == nil {
				err = do(ctx, n, &w.cut.Snapshots[n])
			}
			if err != nil {
				stop(fmt.Errorf("%s: %w", w.cut.Snapshots[n].Database, err)) // the first counts
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// read writes the files of all tables and puts them into the manifest.
func (w *work) read(ctx context.Context) error {
	tables, notes := make([][]store.Table, len(w.cut.Snapshots)), make([][]string, len(w.cut.Snapshots))
	err := w.each(ctx, func(ctx context.Context, n int, s *cut.Snapshot) (err error) {
		tables[n], notes[n], err = w.readDatabase(ctx, s)
		return err
	})
	if err != nil {
		return err
	}
	w.manifest.Tables = slices.Concat(tables...)
	for _, text := range slices.Concat(notes...) {
		w.note(ctx, text)
	}
	return nil
}

func (w *work) readDatabase(ctx context.Context, s *cut.Snapshot) (tables []store.Table, notes []string, err error) {
	if err := export.Settle(ctx, s.Conn); err != nil {
		return nil, nil, err
	}
	found, err := catalogue.Read(ctx, s.Conn)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range found {
		t := store.Table{Table: f, Database: s.Database}
		var before *store.Table
		if w.last != nil {
			before = w.last.Table(s.Database, f.Schema, f.Name)
		}
		notes = append(notes, differences(before, &t, w.last == nil)...)
		if len(t.Kept()) == 0 {
			notes = append(notes, t.String()+" is not exported: all its columns are left out")
			continue
		}
		if err := w.readTable(ctx, s, &t, before); err != nil {
			return nil, nil, err
		}
		tables = append(tables, t)
	}
	return tables, append(notes, w.dropped(s.Database, found)...), nil
}

// readTable reads what has changed since the last version, or all where that cannot be told.
func (w *work) readTable(ctx context.Context, s *cut.Snapshot, t, before *store.Table) error {
	since, known := uint64(0), false
	if w.report.Why == "" && t.Tracked && fits(t, before) {
		since, known = w.last.Xmin[s.Database]
	}
	if known {
		truncated, err := export.Truncated(ctx, s.Conn, &t.Table, since)
		if err != nil {
			return err
		}
		if !truncated {
			return w.readChanges(ctx, s, t, before, since)
		}
	}
	return w.readAll(ctx, s, t)
}

func (w *work) readAll(ctx context.Context, s *cut.Snapshot, t *store.Table) (err error) {
	if t.Base, err = w.draft.Path(t.Database, t.View(), ".parquet"); err != nil {
		return err
	}
	t.Deltas = nil
	t.Base.Size, err = export.Table(ctx, w.draft.Duck, s.Conn, &t.Table, "", w.draft.Abs(t.Base))
	t.Rows = t.Base.Rows
	w.count(t.Base.Size)
	return err
}

func (w *work) count(sizes ...export.Size) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, size := range sizes {
		w.report.Read.Rows += size.Rows
		w.report.Read.Bytes += size.Bytes
	}
}

func (w *work) readChanges(ctx context.Context, s *cut.Snapshot, t, before *store.Table, since uint64) (err error) {
	t.Base, t.Deltas, t.Rows = before.Base, slices.Clone(before.Deltas), before.Rows
	var d store.Delta
	if d.Changed, err = w.draft.Path(t.Database, t.View(), ".parquet"); err != nil {
		return err
	}
	if d.Gone, err = w.draft.Path(t.Database, t.View(), ".gone.parquet"); err != nil {
		return err
	}
	if d.Changed.Size, err = export.Table(ctx, w.draft.Duck, s.Conn, &t.Table, export.Since(since), w.draft.Abs(d.Changed)); err != nil {
		return err
	}
	if d.Gone.Size, err = export.Gone(ctx, w.draft.Duck, s.Conn, &t.Table, since, w.draft.Abs(d.Gone)); err != nil {
		return err
	}
	w.count(d.Changed.Size, d.Gone.Size)
	if d.Changed.Rows+d.Gone.Rows > 0 { // else nothing names the files, and they go
		t.Deltas = append(t.Deltas, d)
	}
	if len(t.Deltas) > mostDeltas {
		return w.draft.Fold(ctx, t)
	}
	return nil
}
