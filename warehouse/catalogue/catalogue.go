// Package catalogue tells what tables and columns a database has, and how each of their types
// arrives in the warehouse. Nothing here is a list that somebody must keep: it is all read from
// the database's own catalogue.
package catalogue

import (
	"slices"

	"github.com/jackc/pgx/v5"
)

// Gone is the table that keeps the keys of deleted rows: part of the export, not of the data.
const Gone = "warehouse_gone"

// Changed is the column of a tracked table with the transaction of a row's last change.
const Changed = "changed_xid"

// Table is a table of a source database.
type Table struct {
	OID     uint32   `json:"oid"`
	Schema  string   `json:"schema"`
	Name    string   `json:"name"`
	Comment string   `json:"comment,omitempty"`
	Columns []Column `json:"columns"`
	Key     []string `json:"key,omitempty"`     // the primary key's columns
	Tracked bool     `json:"tracked,omitempty"` // what has changed in it can be told
	Parted  bool     `json:"parted,omitempty"`  // it is the parent of partitions, which stand for nothing by themselves
}

// Tags of a column, from its comment.
const (
	Omit = "omit" // it is left out
	Hash = "hash" // the SHA-256 of its text stands for it
)

// Column is a column of a table.
type Column struct {
	Name    string `json:"name"`
	Type    string `json:"type"` // as PostgreSQL writes it
	Duck    string `json:"duck"` // the warehouse's
	Base    string `json:"base"` // an element's type, which decides how it travels
	Dims    int    `json:"dims,omitempty"`
	NotNull bool   `json:"notNull,omitempty"`
	Tag     string `json:"tag,omitempty"`
	Comment string `json:"comment,omitempty"`
}

// Exact tells whether the warehouse has a type that means the same; else the column is text there.
func (c Column) Exact() bool { return c.Base != asText }

// Same tells whether the rows of one fit the files of the other.
func (c Column) Same(o Column) bool {
	c.Comment, c.NotNull = o.Comment, o.NotNull
	return c == o
}

// Source names the table in SQL; rows of tables that inherit from it are theirs.
func (t *Table) Source() string {
	name := pgx.Identifier{t.Schema, t.Name}.Sanitize()
	if t.Parted {
		return name
	}
	return "only " + name
}

// Kept are the columns that are not left out.
func (t *Table) Kept() []Column {
	return slices.DeleteFunc(slices.Clone(t.Columns), func(c Column) bool { return c.Tag == Omit })
}

// KeyColumns are the columns of the primary key, in its order.
func (t *Table) KeyColumns() []Column {
	key := make([]Column, 0, len(t.Key))
	for _, name := range t.Key {
		at := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
		key = append(key, t.Columns[at])
	}
	return key
}
