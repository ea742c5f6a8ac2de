//go:build drill

package drills

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// act is what somebody did to the copies of one book, or learnt of them. It happened at one
// moment between the first request and the final answer.
type act struct {
	kind  string // take, give, read, or short: refused because only so many were left
	n     int64  // copies taken, given back, or wanted in vain
	seen  int64  // copies that were there, of read and short
	who   string
	began time.Time
	ended time.Time
}

func (a act) text() string {
	switch a.kind {
	case "read":
		return fmt.Sprintf("read %d", a.seen)
	case "short":
		return fmt.Sprintf("want %d of %d", a.n, a.seen)
	}
	return fmt.Sprintf("%s %d", a.kind, a.n)
}

// shelf is the model of a book's copies: a number that is never negative.
func shelf(stock int64) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return stock },
		Step: func(state, input, _ any) (bool, any) {
			left, a := state.(int64), input.(act)
			switch a.kind {
			case "take":
				return left >= a.n, left - a.n
			case "give":
				return true, left + a.n
			case "short":
				return left == a.seen && left < a.n, left
			}
			return left == a.seen, left
		},
		Equal:             func(a, b any) bool { return a == b },
		DescribeOperation: func(input, _ any) string { return input.(act).text() },
		DescribeState:     func(state any) string { return fmt.Sprint(state) },
	}
}

// history is what is known of each book.
type history struct {
	mu   sync.Mutex
	acts map[int64][]act
}

func (h *history) add(book int64, a act) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.acts == nil {
		h.acts = map[int64][]act{}
	}
	h.acts[book] = append(h.acts[book], a)
}

// checkTime bounds the search for an order of events that explains what was seen.
const checkTime = time.Minute

// requireLinearizable: for each book there is an order of all that happened to it, each in
// its time, in which every read is right.
func (h *history) requireLinearizable(t *testing.T, books []int64, stock func(i int) int64) {
	t.Helper()
	var checking sync.WaitGroup
	for i, book := range books {
		checking.Go(func() {
			acts := h.acts[book]
			operations := make([]porcupine.Operation, len(acts))
			for n, a := range acts {
				operations[n] = porcupine.Operation{ClientId: n, Input: a, Call: a.began.UnixNano(), Return: a.ended.UnixNano()}
			}
			switch porcupine.CheckOperationsTimeout(shelf(stock(i)), operations, checkTime) {
			case porcupine.Ok:
			case porcupine.Unknown:
				t.Errorf("book %d: whether its %d events can be explained was not found out in %s", book, len(acts), checkTime)
			default:
				t.Errorf("book %d: its %d events cannot be explained:\n%s", book, len(acts), listing(acts))
			}
		})
	}
	checking.Wait()
}

// listing shows the last events of a history, in the order of their ends.
func listing(acts []act) (text string) {
	const most = 60
	acts = slices.Clone(acts)
	slices.SortFunc(acts, func(a, b act) int { return a.ended.Compare(b.ended) })
	for _, a := range acts[max(0, len(acts)-most):] {
		text += fmt.Sprintf("\t%s to %s %s: %s\n", a.began.Format("15:04:05.000"), a.ended.Format("15:04:05.000"), a.who, a.text())
	}
	return text
}

// The model itself refuses what must not be, and takes an answer that came late.
func TestShelfModel(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	for name, test := range map[string]struct {
		want porcupine.CheckResult
		acts []act
	}{
		"a read sees what was taken before": {porcupine.Ok, []act{
			{kind: "take", n: 2, began: at(1), ended: at(2)}, {kind: "read", seen: 3, began: at(3), ended: at(4)},
		}},
		"a read goes behind an acknowledged order": {porcupine.Illegal, []act{
			{kind: "take", n: 2, began: at(1), ended: at(2)}, {kind: "read", seen: 5, began: at(3), ended: at(4)},
		}},
		"an order whose answer took long was seen before": {porcupine.Ok, []act{
			{kind: "take", n: 2, began: at(1), ended: at(9)}, {kind: "read", seen: 3, began: at(2), ended: at(3)},
		}},
		"what was seen is gone again": {porcupine.Illegal, []act{
			{kind: "take", n: 2, began: at(1), ended: at(9)}, {kind: "read", seen: 3, began: at(2), ended: at(3)},
			{kind: "read", seen: 5, began: at(4), ended: at(5)},
		}},
		"more is sold than there is": {porcupine.Illegal, []act{
			{kind: "take", n: 3, began: at(1), ended: at(9)}, {kind: "take", n: 3, began: at(1), ended: at(9)},
		}},
		"a refusal with copies enough": {porcupine.Illegal, []act{{kind: "short", n: 4, seen: 5, began: at(1), ended: at(2)}}},
		"a refusal with too few":       {porcupine.Ok, []act{{kind: "short", n: 6, seen: 5, began: at(1), ended: at(2)}}},
		"given back while it was refused to another": {porcupine.Ok, []act{
			{kind: "take", n: 5, began: at(1), ended: at(2)}, {kind: "give", n: 5, began: at(3), ended: at(8)},
			{kind: "short", n: 1, seen: 0, began: at(4), ended: at(5)}, {kind: "read", seen: 5, began: at(6), ended: at(7)},
		}},
	} {
		var operations []porcupine.Operation
		for i, a := range test.acts {
			operations = append(operations, porcupine.Operation{ClientId: i, Input: a, Call: a.began.UnixNano(), Return: a.ended.UnixNano()})
		}
		if got := porcupine.CheckOperationsTimeout(shelf(5), operations, time.Second); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
