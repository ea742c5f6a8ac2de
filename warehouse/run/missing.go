package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"bookstore/warehouse/catalogue"
	"bookstore/warehouse/export"
	"bookstore/warehouse/store"
)

// giveUp takes what the version before has of a table that could not be read, or nothing where it has none, and says so.
// The other tables are no worse for it. The error is that no table of the database can be read any more.
func (w *work) giveUp(ctx context.Context, src *source, t *store.Table, why error) error {
	if err := src.alive(ctx); err != nil {
		return errors.Join(err, why)
	}
	missing := store.Missing{Database: t.Database, Table: t.View(), Why: brief(why)}
	w.options.Log.ErrorContext(ctx, "a table is not read, the others are", "table", t.String(), "error", why)
	// Of another cluster's rows nothing is known.
	if before := w.before(t); before != nil && w.last.System == w.cut.System {
		*t = *before
		if t.Run == "" {
			t.Run = w.last.Run
		}
		missing.Run = t.Run
	} else {
		t.Base, t.Deltas, t.Rows = store.File{}, nil, 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.manifest.Missing = append(w.manifest.Missing, missing)
	return nil
}

func (w *work) before(t *store.Table) *store.Table {
	if w.last == nil {
		return nil
	}
	return w.last.Table(t.Database, t.Schema, t.Name)
}

// brief is the first line of an error: what DuckDB says behind it is about files that nobody sees.
func brief(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// absent tells whether the version has nothing of a table.
func absent(t store.Table) bool { return t.Base.Path == "" }

// reportMissing leaves out what there is nothing of, and tells of all that is missing. A version that has no table as it
// was at its cut would be none.
func (w *work) reportMissing(ctx context.Context) error {
	m := w.manifest
	for i := range m.Tables {
		if t := &m.Tables[i]; absent(*t) {
			if err := w.draft.Forget(ctx, t); err != nil {
				return err
			}
		}
	}
	m.Tables = slices.DeleteFunc(m.Tables, absent)
	slices.SortFunc(m.Missing, store.Missing.Compare)
	if len(m.Missing) > 0 && !slices.ContainsFunc(m.Tables, func(t store.Table) bool { return t.Run == "" }) {
		return fmt.Errorf("no table can be read: %s", m.Missing[0])
	}
	return nil
}

// noteMissing tells readers and the log, and also of columns that were made text.
func (w *work) noteMissing(ctx context.Context) {
	for i := range w.manifest.Tables {
		t := &w.manifest.Tables[i]
		for _, c := range t.Columns {
			if c.Refused != "" {
				w.note(ctx, fmt.Sprintf("%s.%s is text here, though it is %s: %s", t, c.Name, c.Type, c.Refused))
			}
		}
	}
	for _, missing := range w.manifest.Missing {
		w.note(ctx, missing.String())
	}
	for _, u := range w.manifest.Unchecked {
		w.note(ctx, "not checked whether "+u)
	}
}

// asText reads a table again with those columns as text in which there is what their type here has no place for: each is
// tried by itself. What was found is kept to until everything is read anew.
func (w *work) asText(ctx context.Context, src *source, t *store.Table, why error) error {
	found := false
	for i, c := range t.Columns {
		if c.Tag == catalogue.Omit || !c.Doubtful() {
			continue
		}
		refused, err := w.refused(ctx, src, t, c)
		if err != nil {
			return errors.Join(why, err)
		}
		if refused != "" {
			t.Columns[i], found = c.Refuse(refused), true
		}
	}
	if !found {
		return why
	}
	return w.readAll(ctx, src, t)
}

// refused is why a column cannot be read as what it is; empty: it can.
func (w *work) refused(ctx context.Context, src *source, t *store.Table, c catalogue.Column) (why string, err error) {
	one := t.Table
	one.Columns = []catalogue.Column{c}
	file, err := w.draft.Path(t.Database, t.View(), ".one.parquet") // which nothing names, and so it goes
	if err == nil {
		err = src.open(ctx)
	}
	if err != nil {
		return "", err
	}
	_, err = export.Table(ctx, w.draft.Duck, src.reader, &one, "", w.draft.Abs(file))
	if export.Refused(err) {
		return brief(err), nil
	}
	if err != nil {
		return "", err
	}
	is, err := export.Source(ctx, src.reader, &one, nil)
	if err != nil {
		return "", err
	}
	arrived, err := export.Arrived(ctx, w.draft.Duck, &one, catalogue.Literal(w.draft.Abs(file)), nil)
	switch {
	case export.Refused(err):
		return brief(err), nil
	case err == nil && is != arrived:
		return "a value does not come back as it was", nil
	}
	return "", err
}

// stay has columns that were read as text since a value was refused be text again, as long as not everything is read anew.
func (w *work) stay(t, before *store.Table) {
	if before == nil || w.report.Why != "" {
		return
	}
	for i, c := range t.Columns {
		if old, ok := column(before, c.Name); ok && old.Refused != "" && old.Type == c.Type && old.Tag == c.Tag {
			t.Columns[i] = c.Refuse(old.Refused)
		}
	}
}
