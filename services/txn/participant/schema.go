package participant

import _ "embed" // the migrations

// The migrations that make the tables of the two modes, for platform/pg.Migrate.
// A service has each as one of its own numbered migrations, and a test that they
// make the same (participanttest.RequireSchema).
var (
	// BranchSchema makes branch_markers.
	//go:embed branch_markers.sql
	BranchSchema string
	// StepSchema makes step_markers.
	//go:embed step_markers.sql
	StepSchema string
)
