package pg

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/batch"
)

// tipPatience bounds what a write waits for its token.
const tipPatience = 100 * time.Millisecond

// positionQuery asks a member how far it is: a leader what is on its disk, a
// replica what can be read there and, with the timeline, whose log that is. The
// function is the superuser's (package patroni declares it), since a login may
// not see the timeline.
const positionQuery = "select coalesce(system, 0), coalesce(timeline, 0), coalesce(lsn, 0), leads from public.wal_position()"

func scanPosition(row pgx.Row) (p Position, leading bool, err error) {
	var system, timeline, lsn int64
	if err = row.Scan(&system, &timeline, &lsn, &leading); err != nil {
		return Position{}, false, err
	}
	return Position{System: uint64(system), Timeline: uint32(timeline), LSN: uint64(lsn)}, leading, nil //nolint:gosec // bits, not numbers
}

// Tip returns the end of the leader's write-ahead log. Concurrent calls share one query.
type Tip struct {
	group *batch.Group[struct{}, Position]
}

// NewTip makes a tip of the pool's leader.
func NewTip(pool *pgxpool.Pool) *Tip {
	ask := func(ctx context.Context, askers []struct{}) ([]Position, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		at, leading, err := scanPosition(pool.QueryRow(ctx, positionQuery))
		if err == nil && !leading {
			err = errors.New("the member does not lead any more")
		}
		answers := make([]Position, len(askers))
		for i := range answers {
			answers[i] = at
		}
		return answers, err
	}
	return &Tip{batch.New(ask, func(error) bool { return false })}
}

// Token is the consistency token of a position that covers everything acknowledged before the call. If the leader does
// not answer in time, it is a position that no replica ever reaches, so that reads with it go to the leader.
func (t *Tip) Token(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tipPatience)
	defer cancel()
	at, err := t.group.Do(ctx, struct{}{})
	if err != nil {
		at = Position{Timeline: math.MaxUint32, LSN: math.MaxUint64}
	}
	return at.String()
}
