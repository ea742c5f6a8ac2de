package run

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"bookstore/warehouse/cut"
	"bookstore/warehouse/export"
	"bookstore/warehouse/store"
)

// prove compares every table with its source, in the snapshot that it was read from. A table that
// was carried on and is not what it should be is read in full, which must then be right.
func (w *work) prove(ctx context.Context) error {
	again := make([][]*store.Table, len(w.cut.Snapshots))
	err := w.each(ctx, func(ctx context.Context, n int, s *cut.Snapshot) error {
		for _, t := range w.of(s.Database) {
			err := w.compare(ctx, s, t)
			var wrong *Mismatch
			if errors.As(err, &wrong) && !w.draft.Made(t.Base) {
				again[n] = append(again[n], t)
				w.options.Log.ErrorContext(ctx, "a table is not what it should be, and is read again", "table", t.String(), "error", err)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.repair(ctx, again)
}

func (w *work) repair(ctx context.Context, again [][]*store.Table) error {
	some := false
	for _, tables := range again {
		for _, t := range tables {
			some = true
			w.note(ctx, t.String()+" was not what it should have been, and was read again")
		}
	}
	if !some {
		return nil
	}
	err := w.each(ctx, func(ctx context.Context, n int, s *cut.Snapshot) error {
		for _, t := range again[n] {
			if err := w.readAll(ctx, s, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := w.draft.Views(ctx, w.manifest); err != nil {
		return err
	}
	return w.each(ctx, func(ctx context.Context, n int, s *cut.Snapshot) error {
		for _, t := range again[n] {
			if err := w.compare(ctx, s, t); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *work) of(database string) (tables []*store.Table) {
	for i := range w.manifest.Tables {
		if t := &w.manifest.Tables[i]; t.Database == database {
			tables = append(tables, t)
		}
	}
	return tables
}

// Mismatch is a table that is not in the warehouse as it is in its database.
type Mismatch struct {
	Table           string
	Source, Arrived export.Sum
}

func (m *Mismatch) Error() string {
	return fmt.Sprintf("%s is not what the database has: %+v there, %+v here", m.Table, m.Source, m.Arrived)
}

// compare looks at all rows of what was read in full; else at those that changed, at one slice of
// the others, and at how many there are.
func (w *work) compare(ctx context.Context, s *cut.Snapshot, t *store.Table) error {
	var part *export.Part
	if !w.draft.Made(t.Base) {
		part = &export.Part{Since: w.last.Xmin[s.Database], Slice: w.manifest.Slice}
	}
	var source, arrived export.Sum
	var errSource, errArrived error
	var both sync.WaitGroup
	both.Go(func() { source, errSource = export.Source(ctx, s.Conn, &t.Table, part) })
	both.Go(func() { arrived, errArrived = export.Arrived(ctx, w.draft.Duck, &t.Table, t.SQL(), part) })
	both.Wait()
	if err := errors.Join(errSource, errArrived); err != nil {
		return err
	}
	if source != arrived {
		return &Mismatch{t.String(), source, arrived}
	}
	t.Rows = source.Total
	return nil
}
