package run

import (
	"fmt"
	"slices"

	"bookstore/warehouse/catalogue"
	"bookstore/warehouse/store"
)

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
