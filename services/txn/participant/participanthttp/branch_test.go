package participanthttp_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/participant/participanthttp"
)

func write(ctx context.Context, tx pgx.Tx, gid string, w word) error {
	if w == "no" {
		f := fault.New(fault.VersionMismatch, "no more words")
		f.Details = map[string]any{"left": 0}
		return f
	}
	_, err := tx.Exec(ctx, "insert into words (word, gid) values ($1, $2)", w, gid)
	return err
}

func writeWhole(b *pgx.Batch, gid string, w word) bool {
	b.Queue("insert into words (word, gid) select $1, $2 where 1 / ($1 <> 'no')::int = 1", w, gid)
	return true
}

func TestABranchOverHTTP(t *testing.T) {
	c := newClient(t)
	participanthttp.Branch(c.app, c.Participant, participant.Change[word]{Apply: write, Whole: writeWhole}, read)
	const head = `"branch":"words","branches":["words","other"],"deadline":"`
	soon := head + time.Now().Add(time.Minute).UTC().Format(time.RFC3339Nano) + `"`
	past := head + `2001-01-01T00:00:00Z"`
	c.each("transactions/", []exchange{
		{"httpa/prepare", `{` + soon + `,"payload":{"word":"yes"}}`, 200, `"state":"prepared"`},
		{"httpa/prepare", `{` + soon + `,"payload":{"word":"yes"}}`, 200, `"state":"prepared"`},
		{"httpa/commit", `{` + soon + `}`, 200, `"state":"committed"`},
		{"httpa/commit", `{` + soon + `}`, 200, `"state":"committed"`},
		{"httpb/prepare", `{` + soon + `,"payload":{"word":"no"}}`, 412, `"code":"version_mismatch"`},
		{"httpb/prepare", `{` + soon + `,"payload":{"word":"no"}}`, 412, `"left":0`},
		{"httpb/abort", `{` + soon + `}`, 200, `"state":"aborted"`},
		{"httpb/prepare", `{` + soon + `,"payload":{"word":"late"}}`, 409, `"code":"aborted"`},
		{"httpb/commit", `{` + soon + `}`, 409, `"code":"branch_lost"`},
		{"httpc/prepare", `{` + past + `,"payload":{"word":"late"}}`, 409, `"code":"aborted"`},
		{"httpc/prepare", `{` + soon + `}`, 422, `"code":"invalid_field"`},
		{"httpc/prepare", `{` + soon + `,"payload":{"word":"x","more":1}}`, 400, `"code":"malformed_request"`},
		{"httpc/commit", `{` + soon + `,"payload":{}}`, 400, `"code":"malformed_request"`},
		{"NOT-A-GID/commit", `{` + soon + `}`, 422, `"code":"invalid_field"`},
		{"httpc/commit", `{"branch":"books","branches":[],"deadline":"2001-01-01T00:00:00Z"}`, 422, `"code":"invalid_field"`},
	})
	var gid string
	if err := c.pool.QueryRow(context.Background(), "select gid from words").Scan(&gid); err != nil || gid != "httpa" {
		t.Errorf("stored under %q, %v", gid, err)
	}
}
