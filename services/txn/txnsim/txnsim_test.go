package txnsim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/saga"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnsim"
)

func TestLedgersSurviveAnyInterleaving(t *testing.T) {
	txnsim.Play(t, ledgers)
}

func TestTheSimulationNoticesWhatIsBroken(t *testing.T) {
	txnsim.NoticeDefects(t, ledgers, txnsim.NoTombstone, txnsim.NoMarker, txnsim.LostIsDone, txnsim.UnknownIsYes,
		txnsim.UnknownIsDone, txnsim.DecidedByReading, txnsim.NoStepTombstone, txnsim.StepAgain)
}

// tooLow is how an account refuses what it does not have.
var tooLow = fault.Define("sim_balance_too_low", http.StatusConflict, "The balance is too low", fault.Decided, fault.Never)

// bank has two ledgers, each in a database of its own. Money moves from one to the other by
// a transaction, or by a saga of three steps.
type bank struct {
	w           *txnsim.World
	left, right *ledger
}

// ledger has a few accounts.
type ledger struct {
	*txnsim.Database

	balance [accounts]int64
}

const (
	accounts = 3
	initial  = 10 // low enough for some refusals
)

// posting is what a ledger is asked to add to an account.
type posting struct {
	Account int
	Amount  int64
}

func ledgers(w *txnsim.World) txnsim.Scenario {
	b := &bank{w: w, left: &ledger{}, right: &ledger{}}
	b.left.Database = w.NewDatabase("left", b.left.post, map[string]txnsim.Work{"give": b.left.post, "confirm": b.left.confirm})
	b.right.Database = w.NewDatabase("right", b.right.post, map[string]txnsim.Work{"take": b.right.post})
	for _, l := range []*ledger{b.left, b.right} {
		for i := range l.balance {
			l.balance[i] = initial
		}
	}
	return txnsim.Scenario{
		Databases: []*txnsim.Database{b.left.Database, b.right.Database}, Sagas: []saga.Definition{exchange},
		Clients: b.clients, Check: b.check,
	}
}

func (l *ledger) post(c *txnsim.Change, payload []byte) error {
	var p posting
	if err := json.Unmarshal(payload, &p); err != nil {
		return err
	}
	if err := c.Lock(fmt.Sprint("account ", p.Account)); err != nil {
		return err
	}
	return c.Statement(func() error {
		if l.balance[p.Account]+p.Amount < 0 {
			return fault.New(tooLow, "the balance is too low")
		}
		c.Effect(func() { l.balance[p.Account] += p.Amount }, func() { l.balance[p.Account] -= p.Amount })
		return nil
	})
}

// confirm changes nothing: it refuses what has no amount.
func (l *ledger) confirm(c *txnsim.Change, payload []byte) error {
	var p posting
	if err := json.Unmarshal(payload, &p); err != nil {
		return err
	}
	if p.Amount == 0 {
		return fault.New(tooLow, "nothing is confirmed")
	}
	c.Effect(func() {}, func() {})
	return nil
}

// move is what the steps of an exchange need to know.
type move struct {
	Give, Take, Confirm posting
	Ask                 bool // for an approval
}

var exchange = saga.Define("exchange",
	saga.StepOf[move]{Name: "give", At: "left", Undo: true, Send: func(m move) any { return m.Give }},
	saga.StepOf[move]{Name: "approval", When: func(m move) bool { return m.Ask }},
	saga.StepOf[move]{Name: "take", At: "right", Undo: true, Pivot: true, Send: func(m move) any { return m.Take }},
	saga.StepOf[move]{Name: "confirm", At: "left", Undo: true, Send: func(m move) any { return m.Confirm }},
)

// clients sends transfers and exchanges, some of them twice at once.
func (b *bank) clients() {
	w := b.w
	var asking sync.WaitGroup
	for i := range 3 + w.Draw("transfers").IntN(6) {
		asking.Go(func() { b.both(fmt.Sprint("transfer", i), b.transfer) })
	}
	for i := range 1 + w.Draw("exchanges").IntN(4) {
		asking.Go(func() { b.both(fmt.Sprint("exchange", i), b.exchange) })
	}
	asking.Wait()
}

// both sends one request, and perhaps a second time meanwhile.
func (b *bank) both(name string, begin func(name string) func(client string) *txnsim.Client) {
	w := b.w
	w.Pass(w.Between(name+" begins", 0, txnsim.ChaosTime*3/4))
	client := begin(name)
	var asking sync.WaitGroup
	asking.Go(func() { w.Ask(client(name)) })
	if w.Chance(name+" is repeated", .4) {
		w.Pass(w.Between(name+" waits", 0, 2*time.Second))
		asking.Go(func() { w.Ask(client(name + "'s twin")) })
	}
	asking.Wait()
}

// postings draws what moves from an account of one ledger to one of the other.
func (b *bank) postings(name string) (give, take posting) {
	amount := 1 + b.w.Draw(name+" amount").Int64N(6)
	if b.w.Chance(name+" goes back", .5) {
		amount = -amount
	}
	return posting{b.w.Draw(name + " from").IntN(accounts), -amount}, posting{b.w.Draw(name + " to").IntN(accounts), amount}
}

func (b *bank) transfer(name string) func(client string) *txnsim.Client {
	give, take := b.postings(name)
	sequential := b.w.Chance(name+" is sequential", .3)
	return func(client string) *txnsim.Client {
		return &txnsim.Client{
			Name: client, Key: name, Effect: txnsim.EffectOf("bank", name),
			Call: func(ctx context.Context, n *txnsim.Node) ([]byte, error) {
				result, err := n.Transactions.Run(ctx, twophase.Request{
					Claim: twophase.Claim{
						Kind: "transfer", Caller: "bank", Key: name, RequestHash: twophase.HashRequest("transfer", give),
						Branches: []string{"left", "right"},
					},
					Wants: []twophase.Want{{Resource: fmt.Sprint(give.Account)}}, Holder: "left",
					Plan: func(context.Context, twophase.Transaction) (twophase.Work, error) {
						outcome, err := twophase.Success(http.StatusOK, take)
						return twophase.Work{Payloads: map[string]any{"left": give, "right": take}, Ordered: sequential, Outcome: outcome}, err
					},
				})
				return result.Body, err
			},
		}
	}
}

func (b *bank) exchange(name string) func(client string) *txnsim.Client {
	w := b.w
	give, take := b.postings(name)
	m := move{Give: give, Take: take, Confirm: give, Ask: w.Chance(name+" asks", .4)}
	if w.Chance(name+" is not confirmed", .4) {
		m.Confirm = posting{}
	}
	within := w.Between(name+" deadline", time.Second, 30*time.Second)
	return func(client string) *txnsim.Client {
		return &txnsim.Client{
			Name: client, Key: name, Effect: txnsim.EffectOf("bank", name),
			Call: func(ctx context.Context, n *txnsim.Node) ([]byte, error) {
				begun, err := n.Sagas.Begin(ctx, exchange, saga.Request{
					Caller: "bank", Key: name, RequestHash: []byte(name), Data: m, Time: within,
				}, func(s saga.Saga) (saga.Outcome, error) {
					return saga.Outcome{Status: http.StatusAccepted, Body: []byte(s.ID)}, nil
				})
				return begun.Outcome.Body, err
			},
			Succeeded: func(id []byte) { b.intervene(client, string(id)) },
			Check: func(a txnsim.Answer, id string) {
				if a.Kind == "" && a.Body != id {
					w.Breachf("%s was told of saga %s, and there is %s", client, a.Body, id)
				}
			},
		}
	}
}

// intervene approves or cancels an exchange, or does nothing.
func (b *bank) intervene(client, id string) {
	w := b.w
	if !w.Chance(client+" intervenes", .7) {
		return
	}
	w.Pass(w.Between(client+" thinks", 0, 3*time.Second))
	if w.Chance(client+" approves", .5) {
		w.Ask(&txnsim.Client{Name: client + " approving", Call: func(ctx context.Context, n *txnsim.Node) ([]byte, error) {
			_, err := n.Sagas.Approve(ctx, exchange, id)
			return nil, err
		}})
		return
	}
	w.Ask(&txnsim.Client{
		Name: client + " cancelling",
		Call: func(ctx context.Context, n *txnsim.Node) ([]byte, error) {
			_, err := n.Sagas.Cancel(ctx, exchange, id)
			return nil, err
		},
		Check: func(a txnsim.Answer, _ string) {
			if s, _ := w.Saga(exchange, id); a.Kind == "" && s.State == saga.Completed {
				w.Breachf("%s was told that saga %s is cancelled, and it is completed", client, id)
			}
		},
	})
}

// check: money is neither made nor lost. An account may owe some: what an undo takes back
// may be spent already.
func (b *bank) check() {
	var sum int64
	for _, l := range []*ledger{b.left, b.right} {
		for _, balance := range l.balance {
			sum += balance
		}
	}
	if want := int64(2 * accounts * initial); sum != want {
		b.w.Breachf("the balances sum to %d, want %d", sum, want)
	}
}
