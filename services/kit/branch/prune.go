package branch

import (
	"context"

	"bookstore/services/kit/pg"
)

// Prune deletes the tombstones of transactions whose deadline passed more than
// an hour ago: no prepare of theirs can be under way any more, and one that
// came still would be refused as late. lifecycle.Every runs it.
func (p *Participant) Prune(ctx context.Context) error {
	_, err := p.pool.Exec(ctx, `delete from branch_markers
		where state = 'aborted' and deadline < clock_timestamp() - interval '1 hour'`)
	return pg.Fault("prune tombstones", err)
}
