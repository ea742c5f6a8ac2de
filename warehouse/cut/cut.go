// Package cut opens one consistent view of every database.
package cut

import (
	"time"

	"github.com/jackc/pgx/v5"
)

// Snapshot is one database as it is at the cut.
type Snapshot struct {
	Database string
	Conn     *pgx.Conn // in a read-only repeatable-read transaction
	Xmin     uint64    // every transaction below it is in the snapshot or aborted
}

// Cut is all databases at one instant.
type Cut struct {
	At        time.Time
	System    string // the cluster's system identifier
	Timeline  int
	LSN       string
	Snapshots []Snapshot
}
