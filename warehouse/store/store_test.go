package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bookstore/warehouse/catalogue"
	"bookstore/warehouse/export"
	"bookstore/warehouse/store"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// draft begins a version of one table with one row, n.
func draft(t *testing.T, s *store.Store, at time.Time, n string) (*store.Draft, *store.Manifest) {
	t.Helper()
	d, err := s.Begin(at, export.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	table := store.Table{Database: "db", Table: catalogue.Table{Schema: "public", Name: "../odd name", Columns: []catalogue.Column{{Name: "n", Duck: "INTEGER"}}}}
	table.Base, err = d.Path(table.Database, table.Name, ".parquet")
	if err == nil {
		_, err = d.Duck.ExecContext(t.Context(), "copy (select "+n+"::int as n) to '"+d.Abs(table.Base)+"' (format parquet)")
	}
	m := &store.Manifest{Run: d.Run, Kind: store.Full, At: at, Tables: []store.Table{table}}
	if err := errors.Join(err, d.Views(t.Context(), m)); err != nil {
		t.Fatal(err)
	}
	return d, m
}

func publish(t *testing.T, s *store.Store, at time.Time, n string) {
	t.Helper()
	d, m := draft(t, s, at, n)
	if err := d.Publish(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func requireRow(t *testing.T, v store.Version, want string) {
	t.Helper()
	db, err := v.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n string
	if err := db.QueryRowContext(t.Context(), `select n::varchar from db."../odd name"`).Scan(&n); err != nil || n != want {
		t.Errorf("%v: version %s has %s, not %s", err, v.Run, n, want)
	}
	if _, err := db.ExecContext(t.Context(), "create table mine (a int)"); err == nil {
		t.Error("a reader could write")
	}
}

func TestAsOfFindsTheVersionThatIsMeant(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := store.AsOf(dir, ""); !errors.Is(err, store.ErrNone) {
		t.Errorf("of an empty directory: %v", err)
	}
	s := open(t, dir)
	publish(t, s, noon, "1")
	publish(t, s, noon.Add(24*time.Hour), "2")
	for when, want := range map[string]string{
		"": "2", "20261123T120000.000000Z": "1", "2026-11-23": "1", "2026-11-24": "2", "2026-11-23T12:00:00Z": "1",
		"2026-11-24T14:00:00+02:00": "2", "2026-11-24T13:59:59+02:00": "1", "2027-01-01": "2",
	} {
		v, err := store.AsOf(dir, when)
		if err != nil {
			t.Errorf("%q: %v", when, err)
			continue
		}
		requireRow(t, v, want)
	}
	for when, want := range map[string]string{"2026-11-22": "the oldest is 20261123T12", "20261123T120000.000001Z": "no version", "yesterday": "neither a run"} {
		if _, err := store.AsOf(dir, when); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", when, err)
		}
	}
	if got, err := filepath.EvalSymlinks(filepath.Join(dir, "current")); err != nil || filepath.Base(got) != "20261124T120000.000000Z" {
		t.Errorf("%v: current is %s", err, got)
	}
}

func TestPruneKeepsWhatIsYoungOrAmongTheNewest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	for day := range 6 {
		publish(t, s, noon.AddDate(0, 0, day), "1")
	}
	oldest, err := store.AsOf(dir, "2026-11-23")
	if err != nil {
		t.Fatal(err)
	}
	reader, err := oldest.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for _, c := range []struct {
		keep    time.Duration
		atLeast int
		want    string
	}{
		{72 * time.Hour, 3, "25 26 27 28"}, {time.Hour, 3, "26 27 28"}, {time.Hour, 0, "28"},
	} {
		if err := s.Prune(c.keep, c.atLeast, noon.AddDate(0, 0, 5)); err != nil {
			t.Fatal(err)
		}
		versions, err := store.Versions(dir)
		if err != nil {
			t.Fatal(err)
		}
		var days []string
		for _, v := range versions {
			days = append(days, v.At.Format("02"))
			requireRow(t, v, "1")
		}
		if got := strings.Join(days, " "); got != c.want {
			t.Errorf("keeping %s and %d: %s are left, not %s", c.keep, c.atLeast, got, c.want)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "files", "*", "*.parquet")); len(files) != 1 {
		t.Errorf("the files left are %v", files)
	}
	var n int
	if err := reader.QueryRowContext(t.Context(), "select count(*) from warehouse.columns").Scan(&n); err != nil || n != 1 {
		t.Errorf("who has an old version open cannot read it any more: %d, %v", n, err)
	}
}

// A run may end between any two of its steps: the next Open finishes it or removes it.
func TestOpenPutsRightWhatAKilledRunLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	publish(t, s, noon, "1")
	publish(t, s, noon.Add(time.Hour), "2")
	if _, err := store.Open(dir); !errors.Is(err, store.ErrBusy) {
		t.Errorf("a second writer came in: %v", err)
	}
	d, _ := draft(t, s, noon.Add(2*time.Hour), "3") // and never published
	_ = d.Duck.Close()
	_ = s.Close()
	current := filepath.Join(dir, "current")
	if err := errors.Join(os.Remove(current), os.Symlink("versions/20261123T120000.000000Z", current)); err != nil {
		t.Fatal(err) // as if it had been killed before it swapped
	}
	s = open(t, dir)
	if got, err := os.Readlink(current); err != nil || got != "versions/20261123T130000.000000Z" {
		t.Errorf("%v: current is %s", err, got)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "files", "*", "*.parquet")); len(files) != 2 {
		t.Errorf("the files are %v", files)
	}
	if _, err := s.Begin(noon.Add(time.Hour), export.Limits{}); err == nil {
		t.Error("a version came before its time")
	}
	publish(t, s, noon.Add(2*time.Hour), "3")
	v, err := store.AsOf(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	requireRow(t, v, "3")
}
