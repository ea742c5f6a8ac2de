package stepspg_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"bookstore/services/payments"
	"bookstore/services/payments/paymentspg"
	"bookstore/services/payments/stepspg"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/participant"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// timeout is longer than the simulator takes when it answers.
const timeout = time.Second

// fixture is the steps over a database of their own.
type fixture struct {
	t        *testing.T
	pool     *pgxpool.Pool
	registry *prometheus.Registry
	*stepspg.Steps
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	t.Parallel()
	// Long timeouts, for slow machines.
	pool := pgtest.Pool(t, pgtest.DSN(t, paymentspg.Migrations)+"&lock_timeout=20s&idle_in_transaction_session_timeout=0&statement_timeout=60s")
	return instance(t, pool, payments.NewSimulator(paymentspg.NewAttempts(pool), time.Millisecond))
}

// instance is another instance of the service, with a provider of its own.
func instance(t *testing.T, pool *pgxpool.Pool, provider payments.Provider) fixture {
	registry := prometheus.NewRegistry()
	steps := participant.New(pool, "payments", slog.New(slog.DiscardHandler), nil)
	return fixture{t, pool, registry, stepspg.New(steps, paymentspg.New(pool), provider, timeout, time.Now, registry)}
}

// sale is what a checkout and a return know of a payment.
type sale struct{ saga, back, order, token string }

func newSale(token string) sale {
	return sale{uuid.NewString(), uuid.NewString(), uuid.NewString(), token}
}

const cents = 1998

func (s sale) request() payments.Request {
	return payments.Request{OrderID: s.order, Token: s.token, Method: "card", AmountCents: cents, Currency: "EUR"}
}

// op is one call about a sale, by its name in the tables below.
func (b fixture) op(ctx context.Context, name string, s sale) (json.RawMessage, error) {
	key := func(saga, name string) participant.Key { return participant.Key{Saga: saga, Step: name} }
	switch name {
	case "authorise":
		return b.Authorise(ctx, key(s.saga, "authorise"), s.request())
	case "capture":
		return b.Capture(ctx, key(s.saga, "capture"), s.order)
	case "refund":
		return b.Refund(ctx, key(s.back, "refund"), s.order)
	case "void":
		return nil, b.UndoAuthorise(ctx, key(s.saga, "authorise"))
	case "uncapture":
		return nil, b.UndoCapture(ctx, key(s.saga, "capture"))
	case "unrefund":
		return nil, b.UndoRefund(ctx, key(s.back, "refund"))
	default:
		panic("no such operation: " + name)
	}
}

// after makes calls written as "capture" or, when they are to fail, as
// "capture:aborted".
func (b fixture) after(s sale, calls ...string) {
	b.t.Helper()
	for i, c := range calls {
		name, want, _ := strings.Cut(c, ":")
		_, err := b.op(context.Background(), name, s)
		if (err == nil) != (want == "") || err != nil && string(fault.KindOf(err)) != want {
			b.t.Fatalf("%d of %v: got %v", i+1, calls, err)
		}
		b.balanced(b.t)
	}
}

// holds is the balance of each account in each state, in multiples of the amount.
var holds = map[payments.State][3]int64{ // customer, held, merchant
	payments.Authorised: {-1, 1, 0}, payments.Captured: {-1, 0, 1}, payments.Voided: {}, payments.Refunded: {}, payments.Declined: {},
}

// balanced holds every payment's ledger against its state, and all of it against zero.
func (b fixture) balanced(t fataler) {
	t.Helper()
	const balances = `select p.state, p.amount_cents,
		coalesce(sum(cents) filter (where account = 'customer'), 0)::bigint,
		coalesce(sum(cents) filter (where account = 'held'), 0)::bigint,
		coalesce(sum(cents) filter (where account = 'merchant'), 0)::bigint
		from payments p left join ledger_entries e on e.payment_id = p.id group by p.id`
	rows, err := b.pool.Query(context.Background(), balances)
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer rows.Close()
	for rows.Next() {
		var state payments.State
		var amount int64
		var got [3]int64
		if err := rows.Scan(&state, &amount, &got[0], &got[1], &got[2]); err != nil {
			t.Fatalf("%v", err)
		}
		want, known := holds[state]
		if !known || got != [3]int64{want[0] * amount, want[1] * amount, want[2] * amount} || got[0]+got[1]+got[2] != 0 {
			t.Fatalf("a payment of %d is %q and stands at %v", amount, state, got)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%v", err)
	}
}

// fataler is a test, or one run of a property.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func (b fixture) state(s sale) payments.State {
	b.t.Helper()
	p, err := paymentspg.New(b.pool).OfOrder(context.Background(), s.order)
	if err != nil {
		b.t.Fatal(err)
	}
	return p.State
}

func TestSequencesOfCalls(t *testing.T) {
	b := newFixture(t)
	const unavailable, silent, declined = ":unavailable", ":deadline_exceeded", ":payment_declined"
	for name, c := range map[string]struct {
		token string
		calls []string
		ends  payments.State
	}{
		"sold":                         {"tok_ok", []string{"authorise", "capture"}, payments.Captured},
		"sold, each step called twice": {"tok_ok", []string{"authorise", "authorise", "capture", "authorise", "capture"}, payments.Captured},
		"returned":                     {"tok_ok", []string{"authorise", "capture", "refund", "refund", "capture", "authorise"}, payments.Refunded},
		"cancelled":                    {"tok_ok", []string{"authorise", "void", "void"}, payments.Voided},
		"compensated after capture":    {"tok_ok", []string{"authorise", "capture", "uncapture", "uncapture", "void"}, payments.Refunded},
		"void before authorise":        {"tok_ok", []string{"void", "authorise:aborted", "void", "authorise:aborted"}, payments.Nothing},
		"void, then a late repeat":     {"tok_ok", []string{"authorise", "void", "authorise:aborted"}, payments.Voided},
		"capture after void":           {"tok_ok", []string{"authorise", "void", "capture:aborted", "capture:aborted"}, payments.Voided},
		"capture of nothing":           {"tok_ok", []string{"capture:aborted"}, payments.Nothing},
		"uncapture before capture":     {"tok_ok", []string{"authorise", "uncapture", "capture:aborted", "void"}, payments.Voided},
		"void of what is captured":     {"tok_ok", []string{"authorise", "capture", "void:already_captured", "refund", "void"}, payments.Refunded},
		"refund of nothing":            {"tok_ok", []string{"refund:not_returnable"}, payments.Nothing},
		"refund before capture":        {"tok_ok", []string{"authorise", "refund:not_returnable", "capture", "refund:not_returnable"}, payments.Captured},
		"refund that is undone":        {"tok_ok", []string{"authorise", "capture", "unrefund", "refund:aborted"}, payments.Captured},
		"returned, then compensated":   {"tok_ok", []string{"authorise", "capture", "refund", "uncapture", "void"}, payments.Refunded},
		"declined":                     {"tok_decline", []string{"authorise" + declined, "authorise" + declined, "capture" + declined, "void", "authorise:aborted"}, payments.Declined},
		"capture declined":             {"tok_decline_capture", []string{"authorise", "capture" + declined, "capture" + declined, "uncapture", "void"}, payments.Voided},
		"never answered":               {"tok_hang", []string{"authorise" + silent, "void", "authorise" + silent}, payments.Nothing},
		"capture never answered":       {"tok_hang_capture", []string{"authorise", "capture" + silent, "uncapture", "void"}, payments.Voided},
		"answered late":                {"tok_late", []string{"authorise", "authorise", "capture"}, payments.Captured},
		"fails at first":               {"tok_fail_2", []string{"authorise" + unavailable, "authorise" + unavailable, "authorise", "capture"}, payments.Captured},
		"fails, then is given up":      {"tok_fail_2", []string{"authorise" + unavailable, "void", "authorise" + unavailable, "authorise:aborted"}, payments.Nothing},
		"capture fails at first":       {"tok_fail_capture_1", []string{"authorise", "capture" + unavailable, "capture"}, payments.Captured},
		"void fails at first":          {"tok_fail_void_2", []string{"authorise", "void" + unavailable, "void" + unavailable, "void"}, payments.Voided},
		"refund fails at first":        {"tok_fail_refund_1", []string{"authorise", "capture", "refund" + unavailable, "refund"}, payments.Refunded},
		"uncapture fails at first":     {"tok_fail_refund_1", []string{"authorise", "capture", "uncapture" + unavailable, "uncapture"}, payments.Refunded},
		"unknown token":                {"4242424242424242", []string{"authorise:invalid_field", "void"}, payments.Nothing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, s := fixture{t, b.pool, b.registry, b.Steps}, newSale(c.token)
			b.after(s, c.calls...)
			if got := b.state(s); got != c.ends {
				t.Errorf("ends as %q, want %q", got, c.ends)
			}
		})
	}
}

func TestARepeatHasTheSameResult(t *testing.T) {
	b, s := newFixture(t), newSale("tok_ok")
	first, err := b.op(context.Background(), "authorise", s)
	if err != nil {
		t.Fatal(err)
	}
	var shown map[string]string
	if err := json.Unmarshal(first, &shown); err != nil || len(shown) != 1 || uuid.Validate(shown["paymentId"]) != nil {
		t.Errorf("the result is %s", first)
	}
	for _, name := range []string{"authorise", "capture", "capture", "refund", "refund"} {
		again, err := b.op(context.Background(), name, s)
		var now map[string]string
		if err != nil || json.Unmarshal(again, &now) != nil || now["paymentId"] != shown["paymentId"] {
			t.Errorf("%s: %s, %v", name, again, err)
		}
	}
}

func TestAnOrderHasOnePayment(t *testing.T) {
	b, first := newFixture(t), newSale("tok_ok")
	second := newSale("tok_ok")
	second.order = first.order
	b.after(first, "authorise")
	b.after(second, "authorise:invalid_field", "capture:aborted", "void")
	b.after(first, "capture", "refund")
	b.after(second, "refund:not_returnable")
	if got := b.state(first); got != payments.Refunded {
		t.Errorf("ends as %q", got)
	}
}

func TestAPaymentOfNothingNeedsNoEntries(t *testing.T) {
	b, s := newFixture(t), newSale("tok_ok")
	r := s.request()
	r.AmountCents = 0
	if _, err := b.Authorise(context.Background(), participant.Key{Saga: s.saga, Step: "authorise"}, r); err != nil {
		t.Fatal(err)
	}
	b.after(s, "capture", "refund")
	if got := b.state(s); got != payments.Refunded {
		t.Errorf("ends as %q", got)
	}
}

func TestAttemptsAreSharedByInstances(t *testing.T) {
	b, s := newFixture(t), newSale("tok_fail_3")
	other := instance(t, b.pool, payments.NewSimulator(paymentspg.NewAttempts(b.pool), time.Hour))
	b.after(s, "authorise:unavailable")
	other.after(s, "authorise:unavailable")
	b.after(s, "authorise:unavailable")
	other.after(s, "authorise")
	late := newSale("tok_late")
	b.after(late, "authorise")
	other.after(late, "authorise")
}

func TestAnswersAreCounted(t *testing.T) {
	b := newFixture(t)
	b.after(newSale("tok_ok"), "authorise", "capture", "void:already_captured", "refund")
	b.after(newSale("tok_decline"), "authorise:payment_declined", "void")
	b.after(newSale("tok_fail_1"), "authorise:unavailable")
	const want = `
# HELP payments_total Payment steps, repeated ones included, by operation and result: done, declined (by the provider), refused (in the payment's state), unknown.
# TYPE payments_total counter
payments_total{op="authorise",result="declined"} 1
payments_total{op="authorise",result="done"} 1
payments_total{op="authorise",result="unknown"} 1
payments_total{op="capture",result="done"} 1
payments_total{op="refund",result="done"} 1
payments_total{op="void",result="done"} 1
payments_total{op="void",result="refused"} 1
`
	if err := testutil.GatherAndCompare(b.registry, strings.NewReader(want), "payments_total"); err != nil {
		t.Error(err)
	}
}

// answers is a provider that returns what is sent to it, in order.
type answers chan error

func (a answers) Do(context.Context, payments.Call) error { return <-a }

// A decision of the provider is the outcome of the step. After any other error a repeat calls the provider again.
func TestTheStepKeepsTheProvidersDecision(t *testing.T) {
	b := newFixture(t)
	provider := make(answers, 2)
	b = instance(t, b.pool, provider)
	for _, kind := range fault.Kinds() {
		s := newSale("tok_ok")
		refusal := fault.New(kind, "no")
		provider <- refusal
		if _, err := b.op(t.Context(), "authorise", s); fault.KindOf(err) != kind {
			t.Fatalf("%s was answered as %v", kind, err)
		}
		provider <- nil
		_, err := b.op(t.Context(), "authorise", s)
		if kept := err != nil && fault.KindOf(err) == kind; kept != fault.Decides(refusal) {
			t.Errorf("%s: the next call got %v", kind, err)
		}
	}
}
