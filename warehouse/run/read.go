package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"bookstore/warehouse/catalogue"
	"bookstore/warehouse/export"
	"bookstore/warehouse/store"
)

// atOnce is how many databases are read at a time; each has one connection.
const atOnce = 2

// mostDeltas are carried on as they are; one more, and they become one. Two hours' worth by default.
const mostDeltas = 24

// each does the same for all databases, and stops all of it at the first error.
func (w *work) each(ctx context.Context, do func(ctx context.Context, n int, src *source) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for n, src := range w.sources {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			err := ctx.Err()
			if err == nil {
				err = do(ctx, n, src)
				src.close(ctx)
			}
			if err != nil {
				stop(fmt.Errorf("%s: %w", src.Database, err)) // the first counts
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// read writes the files of all tables and puts them into the manifest.
func (w *work) read(ctx context.Context) error {
	tables, notes := make([][]store.Table, len(w.sources)), make([][]string, len(w.sources))
	err := w.each(ctx, func(ctx context.Context, n int, src *source) (err error) {
		tables[n], notes[n], err = w.readDatabase(ctx, src)
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

func (w *work) readDatabase(ctx context.Context, src *source) (tables []store.Table, notes []string, err error) {
	if err := src.open(ctx); err != nil {
		return nil, nil, err
	}
	found, err := catalogue.Read(ctx, src.reader)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range found {
		t := store.Table{Table: f, Database: src.Database}
		before := w.before(&t)
		w.stay(&t, before)
		notes = append(notes, differences(before, &t, w.last == nil)...)
		if len(t.Kept()) == 0 {
			notes = append(notes, t.String()+" is not exported: all its columns are left out")
			continue
		}
		if err := w.readTable(ctx, src, &t, before); err != nil {
			if err := w.giveUp(ctx, src, &t, err); err != nil {
				return nil, nil, err
			}
		}
		tables = append(tables, t)
	}
	return tables, append(notes, w.dropped(src.Database, found)...), nil
}

// readTable reads a table within its time. A value that has no place in its column's type makes the column text.
func (w *work) readTable(ctx context.Context, src *source, t, before *store.Table) error {
	if t.Problem != nil {
		return t.Problem
	}
	ctx, cancel := w.tableTime(ctx)
	defer cancel()
	err := w.readRows(ctx, src, t, before)
	if export.Refused(err) {
		err = w.asText(ctx, src, t, err)
	}
	return slow(ctx, err)
}

// errSlow is that a table took longer than it may.
var errSlow = errors.New("it takes longer than one table may")

func (w *work) tableTime(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, positive(w.options.TableTime, 15*time.Minute), errSlow)
}

// slow says why a context ended, which its error does not.
func slow(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errSlow) {
		return fmt.Errorf("%w: %w", errSlow, err)
	}
	return err
}

// readRows reads what has changed since the last version, or all where that cannot be told.
func (w *work) readRows(ctx context.Context, src *source, t, before *store.Table) error {
	since, known := uint64(0), false
	if w.report.Why == "" && t.Tracked && fits(t, before) {
		since, known = w.last.Xmin[src.Database]
	}
	if known {
		if err := src.open(ctx); err != nil {
			return err
		}
		truncated, err := export.Truncated(ctx, src.reader, &t.Table, since)
		if err != nil {
			return err
		}
		if !truncated {
			return w.readChanges(ctx, src, t, before, since)
		}
	}
	return w.readAll(ctx, src, t)
}

func (w *work) readAll(ctx context.Context, src *source, t *store.Table) (err error) {
	if err := src.open(ctx); err != nil {
		return err
	}
	if t.Base, err = w.draft.Path(t.Database, t.View(), ".parquet"); err != nil {
		return err
	}
	t.Deltas = nil
	t.Base.Size, err = export.Table(ctx, w.draft.Duck, src.reader, &t.Table, "", w.draft.Abs(t.Base))
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

func (w *work) readChanges(ctx context.Context, src *source, t, before *store.Table, since uint64) (err error) {
	t.Base, t.Deltas, t.Rows = before.Base, slices.Clone(before.Deltas), before.Rows
	var d store.Delta
	if d.Changed, err = w.draft.Path(t.Database, t.View(), ".parquet"); err != nil {
		return err
	}
	if d.Gone, err = w.draft.Path(t.Database, t.View(), ".gone.parquet"); err != nil {
		return err
	}
	if d.Changed.Size, err = export.Table(ctx, w.draft.Duck, src.reader, &t.Table, export.Since(since), w.draft.Abs(d.Changed)); err != nil {
		return err
	}
	if d.Gone.Size, err = export.Gone(ctx, w.draft.Duck, src.reader, &t.Table, since, w.draft.Abs(d.Gone)); err != nil {
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

// fits tells whether the files of the version before can be carried on: the table is the same one,
// with the same columns and key, and its rows were read then.
func fits(t, before *store.Table) bool {
	return before != nil && before.Run == "" && before.OID == t.OID && before.Tracked && slices.Equal(before.Key, t.Key) &&
		slices.EqualFunc(before.Columns, t.Columns, catalogue.Column.Same)
}

// differences says what readers of the version before will find changed, and what is not as it
// might be: text for want of a type, a table that is read as a whole.
func differences(before, t *store.Table, first bool) (notes []string) {
	if !t.Tracked {
		notes = append(notes, fmt.Sprintf("%s is read in full in every run: nothing tracks its changes", t))
	}
	for _, c := range t.Kept() {
		if !c.Exact() && c.Refused == "" {
			notes = append(notes, fmt.Sprintf("%s.%s is text here: there is no type for %s", t, c.Name, c.Type))
		}
	}
	for _, c := range t.Columns {
		if c.As != "" {
			notes = append(notes, fmt.Sprintf("%s.%s is %s here: another column's name differs in case alone", t, c.Name, c.As))
		}
	}
	if t.As != "" {
		notes = append(notes, fmt.Sprintf("%s is the view of %s.%s: another table's name differs in case alone", t, t.Schema, t.Name))
	}
	if before == nil {
		if !first {
			notes = append(notes, fmt.Sprintf("%s is new", t))
		}
		return notes
	}
	for _, c := range t.Columns {
		old, ok := column(before, c.Name)
		switch {
		case !ok:
			notes = append(notes, fmt.Sprintf("%s.%s is new", t, c.Name))
		case old.Type != c.Type:
			notes = append(notes, fmt.Sprintf("%s.%s was %s and is %s", t, c.Name, old.Type, c.Type))
		case old.Tag != c.Tag:
			notes = append(notes, fmt.Sprintf("%s.%s is tagged %q, and was tagged %q", t, c.Name, c.Tag, old.Tag))
		}
	}
	for _, old := range before.Columns {
		if _, ok := column(t, old.Name); !ok {
			notes = append(notes, fmt.Sprintf("%s.%s is there no more", t, old.Name))
		}
	}
	return notes
}

func column(t *store.Table, name string) (catalogue.Column, bool) {
	at := slices.IndexFunc(t.Columns, func(c catalogue.Column) bool { return c.Name == name })
	if at < 0 {
		return catalogue.Column{}, false
	}
	return t.Columns[at], true
}

// dropped names the tables of the last version that the database has no more.
func (w *work) dropped(database string, found []catalogue.Table) (notes []string) {
	if w.last == nil {
		return nil
	}
	for i := range w.last.Tables {
		t := &w.last.Tables[i]
		is := func(f catalogue.Table) bool { return f.Schema == t.Schema && f.Name == t.Name }
		if t.Database == database && !slices.ContainsFunc(found, is) {
			notes = append(notes, fmt.Sprintf("%s is there no more", t))
		}
	}
	return notes
}
