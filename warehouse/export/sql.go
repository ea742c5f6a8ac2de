package export

import (
	"fmt"
	"strings"

	"bookstore/warehouse/catalogue"
)

func goneFrom(t *catalogue.Table, since uint64) string {
	return fmt.Sprintf("g.table_name in (%s, %s) and g.changed_xid >= '%d'::xid8", catalogue.Literal(t.Name), catalogue.Literal(t.Schema+"."+t.Name), since)
}

// Since is the condition of rows changed by transactions from xid on.
func Since(xid uint64) string { return fmt.Sprintf("%s >= '%d'::xid8", catalogue.Changed, xid) }

// sent is what is selected. An empty column comes first: a line of nothing would be no row.
func sent(columns []catalogue.Column, of string) string {
	return "null, " + list(columns, func(c catalogue.Column) string { return c.Sent(of) })
}

func list(columns []catalogue.Column, of func(catalogue.Column) string) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = of(c)
	}
	return strings.Join(parts, ", ")
}

func receive(pipe string, columns []catalogue.Column, path string) string {
	return fmt.Sprintf(`copy (select %s from read_csv(%s, columns = {'.': 'VARCHAR', %s}, auto_detect = false, header = false,
		delim = ',', quote = '"', escape = '"', nullstr = '', allow_quoted_nulls = false, new_line = '\n', parallel = false,
		compression = 'none', max_line_size = %d, buffer_size = %d))
		to %s (format parquet, compression zstd, row_group_size_bytes %d)`,
		list(columns, func(c catalogue.Column) string { return c.Parsed() + " as " + catalogue.Quote(c.Here()) }), catalogue.Literal(pipe),
		list(columns, func(c catalogue.Column) string {
			return catalogue.Literal(c.Here()) + ": " + catalogue.Literal(c.Read())
		}),
		maxLine, csvBuffer, catalogue.Literal(path), rowGroup)
}

// What a row's CSV may have at most, and what DuckDB holds of CSV and of Parquet at a time; bytes.
const (
	maxLine   = 8 << 20
	csvBuffer = 8 << 20
	rowGroup  = 16 << 20
)
