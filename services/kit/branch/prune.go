package branch

import (
	"context"
	"strconv"
	"time"

	"bookstore/services/kit/pg"
)

// MarkersKept is how long the marker of a committed branch is kept. It tells a
// commit that is asked for again from a branch that is lost, so it outlives
// whatever may ask: coordinators that were down, and those that were restored
// from a backup, none of which may be older. And it goes before the
// coordinator's row, whose key could otherwise make the same gid once more
// (coordinator/prune.go has the whole order).
const MarkersKept = 30 * 24 * time.Hour

// tombstonesKept is how long after its deadline an aborted transaction is
// remembered: no prepare of it can be under way any more, and one that came
// still would be refused as late.
const tombstonesKept = time.Hour

// pruneStretch is how many blocks of the table one run of Prune reads: 16 MB.
const pruneStretch = 2048

// pruneSQL looks through one stretch of the table. Markers come and go with
// every order, and an index by age would cost each of them something; a stretch
// every few minutes goes round the table long before anything in it is due again.
const pruneSQL = `
with pruned as (
	delete from branch_markers
	where ctid >= $1::text::tid and ctid < $2::text::tid
		and (state = 'aborted' and deadline < now() - $3::interval
			or state = 'prepared' and created_at < now() - $4::interval)
)
select pg_relation_size('branch_markers') / current_setting('block_size')::bigint`

// block is the place before the first row of a block.
func block(n int64) string { return "(" + strconv.FormatInt(n, 10) + ",0)" }

// Prune deletes markers and tombstones that nobody can need any more from the
// next stretch of the table. lifecycle.Every runs it.
func (p *Participant) Prune(ctx context.Context) error {
	from := p.pruned.Load()
	var blocks int64
	err := p.pool.QueryRow(ctx, pruneSQL, block(from), block(from+pruneStretch), tombstonesKept, MarkersKept).Scan(&blocks)
	if err != nil {
		return pg.Fault("prune markers", err)
	}
	from += pruneStretch
	if from >= blocks {
		from = 0
	}
	p.pruned.Store(from)
	return nil
}
