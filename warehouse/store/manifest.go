// Package store keeps what was exported: Parquet files that never change, and versions that name
// the files they are made of. A version is whole or not there, whenever its writer is killed.
//
//	files/<database>.<table>/<run>.parquet        rows: all (a base), or those changed since the version before
//	files/<database>.<table>/<run>.gone.parquet   the keys of rows deleted since then
//	versions/<run>/manifest.json, warehouse.duckdb
//	current -> versions/<run>
//	staging/                                      of the run that is going on
//
// A run has the name of its cut's time. Files that no manifest names are of a run that was killed.
package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"bookstore/warehouse/catalogue"
	"bookstore/warehouse/export"
)

// Kinds of runs.
const (
	Full        = "full"
	Incremental = "incremental"
)

// Manifest says what a version is and of which files it is made.
type Manifest struct {
	Run      string            `json:"run"`
	Kind     string            `json:"kind"`
	At       time.Time         `json:"at"`     // the cut
	FullAt   time.Time         `json:"fullAt"` // the cut of the last full run
	System   string            `json:"system"` // the cluster's identifier
	Timeline int               `json:"timeline"`
	LSN      string            `json:"lsn"`
	Xmin     map[string]uint64 `json:"xmin"`  // by database: each transaction below it is in here
	Slice    int               `json:"slice"` // of the rows that were verified unchanged
	Tables   []Table           `json:"tables"`
	History  []File            `json:"history,omitempty"`
	Missing  []Missing         `json:"missing,omitempty"`
	// Unchecked are the equations that could not be checked, and why.
	Unchecked []string `json:"unchecked,omitempty"`
	Notes     []string `json:"notes,omitempty"` // what a reader should know: read in full, dropped, as text, …
}

// Table is a table of a version.
type Table struct {
	catalogue.Table

	Database string  `json:"database"`
	Rows     int64   `json:"rows"` // at the cut
	Base     File    `json:"base"`
	Deltas   []Delta `json:"deltas,omitempty"` // since the base, oldest first
	// Run is the earlier run as of whose cut the rows are, since they could not be read at this one; empty: at this one.
	Run string `json:"run,omitempty"`
}

// Missing is a table that could not be read at the version's cut.
type Missing struct {
	Database string `json:"database"`
	Table    string `json:"table"`
	Run      string `json:"run,omitempty"` // as of whose cut the version has its rows; empty: it has none
	Why      string `json:"why"`
}

func (m Missing) String() string { return m.Brief() + ", it could not be read: " + m.Why }

// Brief says which table it is and as of when.
func (m Missing) Brief() string {
	if m.Run == "" {
		return fmt.Sprintf("%s.%s is missing", m.Database, m.Table)
	}
	return fmt.Sprintf("%s.%s is as it was in run %s", m.Database, m.Table, m.Run)
}

// Compare sorts by name.
func (m Missing) Compare(o Missing) int {
	return cmp.Or(cmp.Compare(m.Database, o.Database), cmp.Compare(m.Table, o.Table))
}

// Delta is what changed between two cuts. A key in both is of a row that was deleted and made anew.
type Delta struct {
	Changed File `json:"changed"`
	Gone    File `json:"gone"`
}

// File is a Parquet file; its path is relative to the store's directory.
type File struct {
	export.Size

	Path string `json:"path"`
}

// Files are all files that the version is made of.
func (m *Manifest) Files() []File {
	files := append([]File{}, m.History...)
	for _, t := range m.Tables {
		files = append(files, t.Base)
		for _, d := range t.Deltas {
			files = append(files, d.Changed, d.Gone)
		}
	}
	return files
}

// Table finds a table by its name; nil: there is none.
func (m *Manifest) Table(database, schema, name string) *Table {
	for i := range m.Tables {
		if t := &m.Tables[i]; t.Database == database && t.Schema == schema && t.Name == name {
			return t
		}
	}
	return nil
}

func (t *Table) String() string { return t.Database + "." + t.View() }

// SQL names the view in a statement.
func (t *Table) SQL() string { return catalogue.Quote(t.Database) + "." + catalogue.Quote(t.View()) }

const (
	manifestName = "manifest.json"
	duckName     = "warehouse.duckdb"
	runFormat    = "20060102T150405.000000Z"
)

// RunName is what a run with its cut at this time is called. Names sort as their times do.
func RunName(at time.Time) string { return at.UTC().Format(runFormat) }

func readManifest(dir string) (*Manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return nil, fmt.Errorf("read a version's manifest: %w", err)
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("read the manifest of %s: %w", dir, err)
	}
	return &m, nil
}
