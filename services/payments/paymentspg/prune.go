package paymentspg

import (
	"bookstore/services/platform/clean"
	"bookstore/services/txn/participant"
)

// Cleaners delete what grows in paymentdb and is not for good. Attempts are
// asked about by steps, and kept for as long as those are known.
func Cleaners() []clean.Job {
	return []clean.Job{participant.StepCleaner(), clean.Tombstones(), {
		Name: "provider_attempts", Keep: participant.StepMarkersKept,
		Delete: `
delete from provider_attempts where ctid = any (array(
	select ctid from provider_attempts where updated_at < now() - $1::interval
	order by updated_at limit $2 for update skip locked))`,
		Oldest: `select updated_at from provider_attempts order by updated_at limit 1`,
	}}
}
