package orderspg

import (
	"bookstore/services/platform/clean"
	"bookstore/services/txn/participant"
)

// Cleaners delete what grows in orderdb and is not for good.
func Cleaners() []clean.Job {
	return append(participant.BranchCleaners(), participant.StepCleaner(), clean.Tombstones())
}
