package export

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"

	"github.com/duckdb/duckdb-go/v2"

	"bookstore/warehouse/catalogue"
)

// Limits of a DuckDB.
type Limits struct {
	Threads int // 0: 2
	// Memory is DuckDB's limit, as it writes it; empty: 160MB. What it has read of a pipe it keeps up
	// to there, so the process has this much and about 100 MB in use, however many rows there are.
	Memory string
}

// Open opens a DuckDB file for writing, or one in memory when path is empty.
func Open(path string, limits Limits) (*sql.DB, error) {
	if limits.Threads == 0 {
		limits.Threads = 2
	}
	if limits.Memory == "" {
		limits.Memory = "160MB"
	}
	settings := []string{
		fmt.Sprintf("set global threads = %d", limits.Threads),
		"set global memory_limit = " + catalogue.Literal(limits.Memory),
		"set global preserve_insertion_order = false",   // rows are a set, and holding their order takes memory
		"set global enable_external_file_cache = false", // what is read here is read once
		"set global timezone = 'UTC'",
	}
	connector, err := duckdb.NewConnector(path, func(execer driver.ExecerContext) error {
		for _, sql := range settings {
			if _, err := execer.ExecContext(context.Background(), sql, nil); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open DuckDB %s: %w", path, err)
	}
	return sql.OpenDB(connector), nil
}
