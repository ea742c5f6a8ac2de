package gateway

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestResendsAreAShareOfTheCalls(t *testing.T) {
	granted := func(b *budget) (n int) {
		for b.resend() {
			n++
		}
		return n
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(.2, 3)
		if n := granted(b); n != 3 {
			t.Errorf("%d resends without a call, want the least", n)
		}
		for range 100 {
			b.called()
		}
		if n := granted(b); n != 17 {
			t.Errorf("%d more after 100 calls, want 20 in all", n)
		}
		<-time.After(5 * time.Second)
		for range 50 {
			b.called()
		}
		if n := granted(b); n != 10 {
			t.Errorf("%d more after 50 calls more, want 30 in all", n)
		}
		<-time.After(5 * time.Second) // the first ones are forgotten
		if n := granted(b); n != 0 {
			t.Errorf("%d of 50 calls, of which 10 are taken", n)
		}
		<-time.After(5 * time.Second)
		if n := granted(b); n != 3 {
			t.Errorf("%d after all is forgotten, want the least", n)
		}
		<-time.After(time.Hour)
		if n := granted(b); n != 3 {
			t.Errorf("%d after an hour, want the least", n)
		}
	})
}
