package orderspg

import (
	"bookstore/services/platform/clean"
	"bookstore/services/txn/branch"
	"bookstore/services/txn/step"
)

// Cleaners delete what grows in orderdb and is not for good.
func Cleaners() []clean.Job {
	return append(branch.Cleaners(), step.Cleaner(), clean.Tombstones())
}
