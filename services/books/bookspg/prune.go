package bookspg

import (
	"time"

	"bookstore/services/platform/clean"
	"bookstore/services/txn/participant"
)

// Cleaners delete the rows of bookdb whose retention is over. Rows of the outbox are deleted by cache/outbox.
func Cleaners() []clean.Job {
	return append(participant.BranchCleaners(), participant.StepCleaner(), clean.Tombstones(), clean.Job{
		Name: "idempotency_keys",
		Keep: time.Hour, // beyond their life
		Delete: `
delete from idempotency_keys where ctid = any (array(
	select ctid from idempotency_keys where expires_at < now() - $1::interval
	order by expires_at limit $2 for update skip locked))`,
		Oldest: `select expires_at from idempotency_keys order by expires_at limit 1`,
	})
}
