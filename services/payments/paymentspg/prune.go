package paymentspg

import (
	"bookstore/services/platform/clean"
	"bookstore/services/txn/participant"
)

// Cleaners delete the rows of paymentdb whose retention is over. Attempts are kept as long as the markers of the steps
// that read them.
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
