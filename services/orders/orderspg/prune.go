package orderspg

import (
	"bookstore/services/platform/clean"
	"bookstore/services/txn/participant"
)

// Cleaners delete the rows of orderdb whose retention is over.
func Cleaners() []clean.Job {
	return append(participant.BranchCleaners(), participant.StepCleaner(), clean.Tombstones())
}
