// Package reports holds the questions that the warehouse answers, each as a file of SQL. Its first
// line is the question; the rest of its comment says how it is answered, and with
//
//	-- since: 30d                     how far back, unless --since says otherwise (all: from the beginning)
//	-- limit: 20                      how many rows, unless --limit says otherwise; without it all
//	-- chart: bar title copies by currency
//
// what `warehouse report` does with it: a chart is bar or columns, then the columns of its labels, that of its
// values, and those of which each value has a chart of its own. prelude.sql is run before each.
package reports

import "embed"

// Files are the reports and prelude.sql.
//
//go:embed *.sql
var Files embed.FS
