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
	As      string   `json:"as,omitempty"` // its view's name, where another's is the same to DuckDB
	Comment string   `json:"comment,omitempty"`
	Columns []Column `json:"columns"`
	Key     []string `json:"key,omitempty"`     // the primary key's columns
	Tracked bool     `json:"tracked,omitempty"` // what has changed in it can be told
	Parted  bool     `json:"parted,omitempty"`  // it is the parent of partitions, which stand for nothing by themselves

	Problem error `json:"-"` // why it must not be read
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
	As      string `json:"as,omitempty"`      // its name in the warehouse, where another's is the same to DuckDB
	Refused string `json:"refused,omitempty"` // why it is text, though the warehouse has such a type: what a value was refused for
}

// Exact tells whether the warehouse has a type that means the same; else the column is text there.
func (c Column) Exact() bool { return c.Base != asText }

// Doubtful tells whether there may be values of the column's type that the warehouse's has no place for.
func (c Column) Doubtful() bool {
	switch c.Base {
	case asText, "text", "varchar", "bpchar", "bool", "int2", "int4", "int8", "uuid":
		return c.Dims > 0
	}
	return c.Tag != Hash
}

// Refuse makes text of a column, in which there is what the warehouse's type has no place for.
func (c Column) Refuse(why string) Column {
	c.Base, c.Dims, c.Duck, c.Refused = asText, 0, "VARCHAR", why
	return c
}

// Here is the column's name in the warehouse.
func (c Column) Here() string {
	if c.As != "" {
		return c.As
	}
	return c.Name
}

// Same tells whether the rows of one fit the files of the other.
func (c Column) Same(o Column) bool {
	c.Comment, c.NotNull, c.Refused = o.Comment, o.NotNull, o.Refused
	return c == o
}

// View is the name of the table's view, within the schema that is named as the database is.
func (t *Table) View() string {
	switch {
	case t.As != "":
		return t.As
	case t.Schema == "public":
		return t.Name
	}
	return t.Schema + "." + t.Name
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
