package pg

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/batch"
	"bookstore/services/platform/fault"
)

// tokenHeader is web.HeaderConsistency, as a refusal names it.
const tokenHeader = "X-Consistency-Token"

// Position is a place in a cluster's write-ahead log. Its text is the consistency
// token, which is opaque to clients.
type Position struct {
	System   uint64 // which cluster: its system identifier; 0 is none
	Timeline uint32 // grows with every failover
	LSN      uint64 // bytes of log
}

// positionVersion is the first byte of a token, so that its form may change.
const positionVersion = 1

// String is the token of the position.
func (p Position) String() string {
	text := []byte{positionVersion}
	text = binary.BigEndian.AppendUint64(text, p.System)
	text = binary.BigEndian.AppendUint32(text, p.Timeline)
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(text, p.LSN))
}

// ParsePosition reads a token. "" is the zero position, which every member covers;
// text that is not a token is fault.MalformedRequest.
func ParsePosition(token string) (p Position, err error) {
	if token == "" {
		return p, nil
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(text) != 21 || text[0] != positionVersion {
		f := fault.New(fault.MalformedRequest, "the "+tokenHeader+" header is not a token of this API")
		f.Fields = []fault.Field{{Field: tokenHeader, Code: "invalid", Detail: "must be as an answer to a write gave it"}}
		return p, f
	}
	p.System, p.Timeline = binary.BigEndian.Uint64(text[1:]), binary.BigEndian.Uint32(text[9:])
	p.LSN = binary.BigEndian.Uint64(text[13:])
	return p, nil
}

// covers tells whether everything acknowledged up to the other position is in the log
// up to this one. A later timeline contains everything acknowledged on earlier ones.
// An earlier timeline may have other content at the same place: what a deposed leader
// wrote and no other member has.
func (p Position) covers(other Position) bool {
	return other == Position{} || p.System == other.System && p.Timeline >= other.Timeline && p.LSN >= other.LSN
}

// tipPatience is how long a write waits for its token.
const tipPatience = 100 * time.Millisecond

// positionQuery reads a member's position: of a leader what is on its disk, of a
// replica what it has replayed, with the timeline of that log. The function is the
// superuser's (package patroni declares it), since a login may not read the timeline.
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
	query := func(ctx context.Context, calls []struct{}) ([]Position, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		at, leading, err := scanPosition(pool.QueryRow(ctx, positionQuery))
		if err == nil && !leading {
			err = errors.New("the member does not lead any more")
		}
		answers := make([]Position, len(calls))
		for i := range answers {
			answers[i] = at
		}
		return answers, err
	}
	return &Tip{batch.New(query, func(error) bool { return false })}
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
