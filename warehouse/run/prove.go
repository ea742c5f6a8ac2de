package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"bookstore/warehouse/export"
	"bookstore/warehouse/store"
)

// prove compares every table with its source, in the snapshot that it was read from. One that is not what it should be is
// read again: in full if it was carried on, else with what does not come back as text. That must then be right, or the
// table is missing.
func (w *work) prove(ctx context.Context) error {
	again := make([][]*store.Table, len(w.sources))
	err := w.each(ctx, func(ctx context.Context, n int, src *source) error {
		for _, t := range w.of(src.Database) {
			err := w.compare(ctx, src, t)
			var wrong *Mismatch
			if errors.As(err, &wrong) || export.Refused(err) {
				again[n] = append(again[n], t)
				w.options.Log.ErrorContext(ctx, "a table is not what it should be, and is read again", "table", t.String(), "error", err)
			} else if err != nil {
				if err := w.giveUp(ctx, src, t, err); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := w.repair(ctx, again); err != nil {
		return err
	}
	return w.reportMissing(ctx)
}

// repair reads tables again, and compares them again through their views.
func (w *work) repair(ctx context.Context, again [][]*store.Table) error {
	err := w.each(ctx, func(ctx context.Context, n int, src *source) error {
		for _, t := range again[n] {
			if err := w.readAgain(ctx, src, t); err != nil {
				if err := w.giveUp(ctx, src, t, err); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range slices.Concat(again...) {
		if t.Run == "" && !absent(*t) {
			w.note(ctx, t.String()+" was not what it should have been, and was read again")
		}
	}
	if err := w.draft.Views(ctx, w.manifest); err != nil {
		return err
	}
	err = w.each(ctx, func(ctx context.Context, n int, src *source) error {
		for _, t := range again[n] {
			if err := w.compare(ctx, src, t); err != nil {
				if err := w.giveUp(ctx, src, t, err); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.draft.Views(ctx, w.manifest)
}

func (w *work) readAgain(ctx context.Context, src *source, t *store.Table) error {
	ctx, cancel := w.tableTime(ctx)
	defer cancel()
	if w.draft.Made(t.Base) {
		return w.asText(ctx, src, t, errors.New("it does not come back as it was, whatever is made text"))
	}
	err := w.readAll(ctx, src, t)
	if export.Refused(err) {
		err = w.asText(ctx, src, t, err)
	}
	return slow(ctx, err)
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

// compare sums up all rows of what was read in full; else those that changed and one slice of the
// others, and counts them all.
func (w *work) compare(ctx context.Context, src *source, t *store.Table) error {
	if t.Run != "" || absent(*t) {
		return nil // it is missing, which is known
	}
	ctx, cancel := w.tableTime(ctx)
	defer cancel()
	if err := src.open(ctx); err != nil {
		return err
	}
	var part *export.Part
	if !w.draft.Made(t.Base) {
		part = &export.Part{Since: w.last.Xmin[src.Database], Slice: w.manifest.Slice}
	}
	var source, arrived export.Sum
	var errSource, errArrived error
	var both sync.WaitGroup
	both.Go(func() { source, errSource = export.Source(ctx, src.reader, &t.Table, part) })
	both.Go(func() { arrived, errArrived = export.Arrived(ctx, w.draft.Duck, &t.Table, t.SQL(), part) })
	both.Wait()
	if err := errors.Join(errSource, errArrived); err != nil {
		return slow(ctx, err)
	}
	if source != arrived {
		return &Mismatch{t.String(), source, arrived}
	}
	t.Rows = source.Total
	return nil
}
