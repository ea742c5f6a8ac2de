package txn_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/wait"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/saga"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnpg"
)

// tooLow is how an account refuses what it does not have.
var tooLow = fault.Define("balance_too_low", http.StatusConflict, "The balance is too low", fault.Decided, fault.Never)

// account is a database with one balance that takes part in both kinds of
// transactions. Over HTTP participants are reached by txnhttp instead.
type account struct {
	*participant.Participant
	pool *pgxpool.Pool
}

func add(ctx context.Context, tx pgx.Tx, amount any) error {
	tag, err := tx.Exec(ctx, "update account set balance = balance + $1 where balance + $1 >= 0", amount)
	if err == nil && tag.RowsAffected() == 0 {
		return fault.New(tooLow, "the balance is too low")
	}
	return err
}

func (a account) balance(ctx context.Context) (n int) {
	_ = a.pool.QueryRow(ctx, "select balance from account").Scan(&n)
	return n
}

// branch makes an account a participant of two-phase commits.
type branch struct{ account }

func (b branch) Prepare(ctx context.Context, m twophase.Message, amount any) error {
	return b.Participant.Prepare(ctx, participant.Message(m), func(ctx context.Context, tx pgx.Tx) error { return add(ctx, tx, amount) })
}

func (b branch) Commit(ctx context.Context, m twophase.Message) error {
	return b.Participant.Commit(ctx, participant.Message(m))
}

func (b branch) Abort(ctx context.Context, m twophase.Message) error {
	return b.Participant.Abort(ctx, participant.Message(m))
}

// Both databases change, or none. A key is answered once; a refusal is an answer.
func Example_twoPhaseCommit() {
	ctx, t := begin()
	defer t.end()
	left, right := openAccount(ctx, t, "left", 100), openAccount(ctx, t, "right", 0)
	settings := twophase.DefaultSettings("this instance")
	engine, err := twophase.New(twophase.Dependencies{
		Store:        txnpg.New(pgtest.Database(t, txnpg.Migrations), settings),
		Participants: map[string]twophase.Participant{"left": branch{left}, "right": branch{right}},
		Metrics:      twophase.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	}, settings)
	t.must(err)
	t.must(engine.Start(ctx))
	t.Cleanup(func() { t.must(engine.Stop(ctx)) })

	transfer := func(key string, amount int) {
		result, err := engine.Run(ctx, twophase.Request{
			Claim: twophase.Claim{
				Kind: "transfer", Caller: "ada", Key: key, RequestHash: twophase.HashRequest("transfer", amount),
				Branches: []string{"left", "right"},
			},
			Wants: []twophase.Want{{Resource: "left"}}, Holder: "left",
			Plan: func(context.Context, twophase.Transaction) (twophase.Work, error) {
				outcome, err := twophase.Success(http.StatusOK, map[string]int{"moved": amount})
				return twophase.Work{Payloads: map[string]any{"left": -amount, "right": amount}, Outcome: outcome}, err
			},
		})
		if err != nil {
			fmt.Println("refused:", fault.KindOf(err))
			return
		}
		fmt.Println(string(result.Body), "replayed:", result.Replayed)
	}
	transfer("k1", 30)
	transfer("k1", 30)
	transfer("k2", 80)
	fmt.Println(left.balance(ctx), right.balance(ctx))
	// Output:
	// {"moved":30} replayed: false
	// {"moved":30} replayed: true
	// refused: balance_too_low
	// 70 30
}

// step makes an account a participant of sagas.
type step struct{ account }

func (s step) Do(ctx context.Context, c saga.Call, amount any) error {
	_, err := s.Participant.Do(ctx, participant.Key(c), func(ctx context.Context, tx pgx.Tx) (any, error) { return amount, add(ctx, tx, amount) })
	return err
}

func (s step) Undo(ctx context.Context, c saga.Call) error {
	return s.Participant.Undo(ctx, participant.Key(c), func(ctx context.Context, tx pgx.Tx, done json.RawMessage) error {
		var amount int
		if err := json.Unmarshal(done, &amount); err != nil {
			return err
		}
		return add(ctx, tx, -amount)
	})
}

// Each step is made at once. What was made is undone when a later step is refused.
func Example_saga() {
	ctx, t := begin()
	defer t.end()
	left, right := openAccount(ctx, t, "left", 100), openAccount(ctx, t, "right", 0)
	type move struct{ Give, Take int } // what the saga's steps need to know
	exchange := saga.Define("exchange",
		saga.StepOf[move]{Name: "give", At: "left", Undo: true, Send: func(m move) any { return -m.Give }},
		saga.StepOf[move]{Name: "take", At: "right", Undo: true, Pivot: true, Send: func(m move) any { return m.Take }},
	)
	engine, err := saga.NewEngine(saga.Options{
		Store: txnpg.NewSagas(pgtest.Database(t, txnpg.Migrations)), Definitions: []saga.Definition{exchange},
		Participants: map[string]saga.Participant{"left": step{left}, "right": step{right}},
		NewID:        func() (string, error) { id, err := uuid.NewV7(); return id.String(), err },
		Metrics:      saga.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler), Settings: saga.DefaultSettings(),
	})
	t.must(err)
	t.must(engine.Start(ctx))
	t.Cleanup(func() { t.must(engine.Stop(ctx)) })

	for key, data := range []move{{Give: 30, Take: 30}, {Give: 50, Take: -50}} {
		begun, err := engine.Begin(ctx, exchange, saga.Request{
			Caller: "ada", Key: fmt.Sprint("k", key), RequestHash: []byte{byte(key)}, Data: data, Time: time.Minute,
		}, func(s saga.Saga) (saga.Outcome, error) {
			return saga.Outcome{Status: http.StatusAccepted, Body: []byte(`"` + s.ID + `"`)}, nil
		})
		t.must(err)
		ended := begun.Saga
		t.must(wait.Until(ctx, 10*time.Millisecond, func(ctx context.Context) (err error) {
			if ended, err = engine.Get(ctx, exchange, begun.Saga.ID); err == nil && !ended.State.Final() {
				err = fault.New(fault.InProgress, "it goes on")
			}
			return err
		}))
		fmt.Println(ended.State, ended.Steps[0].State, ended.Steps[1].State, left.balance(ctx), right.balance(ctx))
	}
	// Output:
	// completed done done 70 30
	// failed compensated refused 70 30
}
