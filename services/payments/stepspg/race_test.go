package stepspg_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"bookstore/services/payments"
	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
)

// blockingProvider is a provider whose answers wait for the test.
type blockingProvider struct{ called, answer chan struct{} }

func newBlockingProvider() blockingProvider {
	return blockingProvider{make(chan struct{}), make(chan struct{})}
}

func (d blockingProvider) Do(context.Context, payments.Call) error {
	d.called <- struct{}{}
	<-d.answer
	return nil
}

func TestALateAnswerIsWrittenDownAfterTheCallerLeft(t *testing.T) {
	b, s, d := newFixture(t), newSale("tok_ok"), newBlockingProvider()
	slow := instance(t, b.pool, d)
	ctx, leave := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { _, err := slow.op(ctx, "authorise", s); done <- err }()
	<-d.called
	leave()
	close(d.answer)
	if err := <-done; err != nil || b.state(s) != payments.Authorised {
		t.Errorf("%v, and the payment is %q", err, b.state(s))
	}
	b.balanced(t)
}

func TestALateAnswerAfterAVoidIsRefused(t *testing.T) {
	b, s, d := newFixture(t), newSale("tok_ok"), newBlockingProvider()
	slow := instance(t, b.pool, d)
	done := make(chan error, 1)
	go func() { _, err := slow.op(context.Background(), "authorise", s); done <- err }()
	<-d.called
	b.after(s, "void")
	close(d.answer)
	if err := <-done; fault.KindOf(err) != fault.Aborted {
		t.Errorf("got %v", err)
	}
	if got := b.state(s); got != payments.Nothing {
		t.Errorf("the payment is %q", got)
	}
}

func TestALateAnswerAfterARepeatIsTheSame(t *testing.T) {
	b, s, d := newFixture(t), newSale("tok_ok"), newBlockingProvider()
	slow := instance(t, b.pool, d)
	answers := make(chan string, 2)
	authorise := func(b fixture) {
		result, err := b.op(context.Background(), "authorise", s)
		var done struct{ PaymentID string }
		err = errors.Join(err, json.Unmarshal(result, &done))
		answers <- fmt.Sprintf("%s %v", done.PaymentID, err)
	}
	go authorise(slow)
	<-d.called
	authorise(b)
	close(d.answer)
	if first, late := <-answers, <-answers; first != late || !strings.HasSuffix(first, "<nil>") {
		t.Errorf("got %s, and late %s", first, late)
	}
	b.balanced(t)
}

// No session has a transaction open while the provider is called.
func TestNoTransactionWaitsForTheProvider(t *testing.T) {
	b, s, d := newFixture(t), newSale("tok_ok"), newBlockingProvider()
	b.after(s, "authorise")
	slow := instance(t, b.pool, d)
	for _, name := range []string{"capture", "refund", "uncapture"} {
		done := make(chan error, 1)
		go func() { _, err := slow.op(context.Background(), name, s); done <- err }()
		<-d.called
		var open int
		err := b.pool.QueryRow(context.Background(), `select count(*) from pg_stat_activity
			where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend' and xact_start is not null`).Scan(&open)
		if err != nil || open != 0 {
			t.Errorf("%s: %d transactions are open, %v", name, open, err)
		}
		d.answer <- struct{}{}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "refund" { // the next one undoes a capture that is still there
			s = newSale("tok_ok")
			b.after(s, "authorise", "capture")
		}
	}
}

// race makes the calls at once, each again until it is decided, and returns
// what each came to: "" or the kind of its refusal.
func (b fixture) race(s sale, names ...string) []fault.Kind {
	b.t.Helper()
	var all sync.WaitGroup
	kinds := make([]fault.Kind, len(names))
	for i, name := range names {
		all.Go(func() {
			for {
				_, err := b.op(context.Background(), name, s)
				if err == nil {
					return
				}
				if kind := fault.KindOf(err); fault.Refused(err) && kind != fault.Contended {
					kinds[i] = kind
					return
				}
			}
		})
	}
	all.Wait()
	b.balanced(b.t)
	return kinds
}

func TestOfCaptureAndVoidExactlyOneWins(t *testing.T) {
	b := newFixture(t)
	for range 40 {
		s := newSale("tok_ok")
		b.after(s, "authorise")
		got := b.race(s, "capture", "void")
		switch state := b.state(s); {
		case state == payments.Captured && got[0] == "" && got[1] == kinds.AlreadyCaptured:
		case state == payments.Voided && got[0] == fault.Aborted && got[1] == "":
		default:
			t.Fatalf("capture %q, void %q, and the payment is %q", got[0], got[1], state)
		}
	}
}

func TestOfAuthoriseAndVoidTheVoidWins(t *testing.T) {
	b := newFixture(t)
	for range 40 {
		s := newSale("tok_ok")
		got := b.race(s, "authorise", "void")
		switch state := b.state(s); {
		case got[1] == "" && state == payments.Voided && got[0] == "":
		case got[1] == "" && state == payments.Nothing && got[0] == fault.Aborted:
		default:
			t.Fatalf("authorise %q, void %q, and the payment is %q", got[0], got[1], state)
		}
	}
}

func TestTheSameCallAtOnceIsDoneOnce(t *testing.T) {
	b := newFixture(t)
	s := newSale("tok_ok")
	for _, name := range []string{"authorise", "capture", "refund"} {
		for i, kind := range b.race(s, name, name, name, name, name, name, name, name) {
			if kind != "" {
				t.Errorf("%s, call %d: %s", name, i, kind)
			}
		}
	}
	var entries int
	if err := b.pool.QueryRow(context.Background(), "select count(*) from ledger_entries").Scan(&entries); err != nil || entries != 6 {
		t.Errorf("%d entries, %v", entries, err)
	}
}

func TestTwoReturnsRefundOnce(t *testing.T) {
	b := newFixture(t)
	for range 20 {
		s := newSale("tok_ok")
		b.after(s, "authorise", "capture")
		other := newSale("")
		var all sync.WaitGroup
		refused := make(chan fault.Kind, 2)
		for _, back := range []string{s.back, other.back} {
			all.Go(func() { refused <- b.race(sale{s.saga, back, s.order, s.token}, "refund")[0] })
		}
		all.Wait()
		if one, two := <-refused, <-refused; one+two != kinds.NotReturnable || b.state(s) != payments.Refunded {
			t.Fatalf("%q and %q, and the payment is %q", one, two, b.state(s))
		}
	}
}

var calls = []string{"authorise", "capture", "refund", "void", "uncapture", "unrefund"}

// After any sequence of calls the ledger agrees with the states and sums to zero, and a decided step keeps its outcome until
// it is undone.
func TestTheLedgerSumsToZero(t *testing.T) {
	b := newFixture(t)
	undoes := map[string]string{"void": "authorise", "uncapture": "capture", "unrefund": "refund"}
	rapid.Check(t, func(t *rapid.T) {
		token := rapid.SampledFrom([]string{
			"tok_ok", "tok_ok", "tok_decline", "tok_decline_capture", "tok_fail_1", "tok_fail_capture_1", "tok_fail_refund_1", "tok_late",
		})
		sales := []sale{newSale(token.Draw(t, "token")), newSale(token.Draw(t, "token")), newSale(token.Draw(t, "token"))}
		sales[2].order = sales[0].order // two checkouts that claim the same order
		type stepOf struct {
			sale int
			name string
		}
		decided := map[stepOf]string{}
		for range rapid.IntRange(1, 12).Draw(t, "calls") {
			at := stepOf{rapid.IntRange(0, 2).Draw(t, "sale"), rapid.SampledFrom(calls).Draw(t, "call")}
			_, err := b.op(context.Background(), at.name, sales[at.sale])
			b.balanced(t)
			switch undone, isUndo := undoes[at.name]; {
			case isUndo && err == nil:
				decided[stepOf{at.sale, undone}] = string(fault.Aborted)
			case isUndo || fault.Unknown(err):
			default:
				got := "done"
				if err != nil {
					got = string(fault.KindOf(err))
				}
				if before := decided[at]; before != "" && before != got {
					t.Fatalf("%s was %s and is now %s", at.name, before, got)
				}
				decided[at] = got
			}
		}
	})
}
