package step

import (
	"context"

	"bookstore/services/kit/pg"
)

const pruneMarkers = `
delete from step_markers
where ctid = any (array(
	select ctid from step_markers where created_at < now() - interval '60 days' limit 1000 for update skip locked))`

// Prune deletes the markers that are older than 60 days, a thousand at a time:
// no saga waits for so long. lifecycle.Every runs it.
func (p *Participant) Prune(ctx context.Context) error {
	for {
		tag, err := p.pool.Exec(ctx, pruneMarkers)
		if err != nil || tag.RowsAffected() == 0 {
			return pg.Fault("prune step markers", err)
		}
	}
}
