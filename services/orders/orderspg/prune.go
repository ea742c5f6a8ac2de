package orderspg

import (
	"bookstore/services/kit/branch"
	"bookstore/services/kit/clean"
	"bookstore/services/kit/step"
)

// Cleaners delete what grows in orderdb and is not for good.
func Cleaners() []clean.Job {
	return append(branch.Cleaners(), step.Cleaner(), clean.Tombstones())
}
