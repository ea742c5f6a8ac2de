package txn_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/fstest"
	"time"

	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/participant"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// stage is what an example runs on. Examples have no testing.TB: this one has
// what pgtest uses of it.
type stage struct {
	testing.TB
	cleanups []func()
}

// begin bounds an example: its databases and engines go with t.end.
func begin() (context.Context, *stage) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t := &stage{}
	t.Cleanup(cancel)
	return ctx, t
}

func (*stage) Name() string                      { return "example" }
func (*stage) Helper()                           {}
func (*stage) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (*stage) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (t *stage) Cleanup(f func())                { t.cleanups = append(t.cleanups, f) }
func (t *stage) must(err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func (t *stage) end() {
	for i := range t.cleanups {
		t.cleanups[len(t.cleanups)-1-i]()
	}
}

var accounts = fstest.MapFS{
	"00001_branches.sql": {Data: []byte(participant.BranchSchema)},
	"00002_steps.sql":    {Data: []byte(participant.StepSchema)},
	"00003_account.sql":  {Data: []byte("-- +goose Up\ncreate table account (balance bigint not null);")},
}

// openAccount makes a database of its own, with a balance.
func openAccount(ctx context.Context, t *stage, name string, balance int) account {
	pool := pgtest.Database(t, accounts)
	_, err := pool.Exec(ctx, "insert into account values ($1)", balance)
	t.must(err)
	return account{participant.New(pool, name, slog.New(slog.DiscardHandler), nil), pool}
}
