// Package invariants is what must be true of the shop's money and stock, as SQL over its four
// databases. Each statement lists, in words, what breaks it, and is written in what PostgreSQL
// and DuckDB have in common: the lab asks PostgreSQL, the warehouse asks DuckDB.
//
// Tables are named by their database (bookdb.stock). The end-to-end tests have checks of their
// own beside these, so that a mistake here is not a mistake there.
package invariants

import (
	"regexp"
	"slices"
	"strings"
)

// Equation is named by what is true.
type Equation struct {
	Name string
	// sql selects one text for each thing that breaks the equation, made by format with {} for
	// each value.
	sql string
}

// DuckDB is the statement for a database that has the shop's four as schemas.
func (e Equation) DuckDB() string { return e.sql }

// PostgreSQL is the statement for a database that has the shop's four as schemas, or for the
// equation's one database itself, where it has only one: Database tells which.
func (e Equation) PostgreSQL() string {
	text := strings.ReplaceAll(e.sql, "{}", "%s")
	if name := e.Database(); name != "" {
		text = strings.ReplaceAll(text, name+".", "")
	}
	return text
}

var table = regexp.MustCompile(`\b[a-z]+db\.[a-z_]+\b`)

// Tables are what the equation is about, each once.
func (e Equation) Tables() []string {
	found := table.FindAllString(e.sql, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

// Database is the one that has all of the equation's tables; empty where there are several.
func (e Equation) Database() (name string) {
	for _, t := range e.Tables() {
		database, _, _ := strings.Cut(t, ".")
		if name != "" && name != database {
			return ""
		}
		name = database
	}
	return name
}

// Always are the equations that hold at any cut through all databases, whatever is under way.
// Those of one database hold at any moment.
func Always() []Equation { return always }

// AtRest are those that hold besides once nothing is under way any more.
func AtRest() []Equation { return atRest }
