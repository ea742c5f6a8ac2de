package cache_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bookstore/services/cache"
	"bookstore/services/cache/coherence"
	"bookstore/services/platform/fault"
)

// catalogue answers lists with how often it was called.
type catalogue struct {
	*cache.Lists
	t     *testing.T
	fills atomic.Int64
	takes time.Duration
	err   error
}

func openLists(t *testing.T) *catalogue {
	t.Helper()
	c := &catalogue{Lists: cache.NewLists(cache.Options{}), t: t}
	t.Cleanup(c.Close)
	return c
}

func (c *catalogue) read(query string) string {
	c.t.Helper()
	list, source, err := c.Get(c.t.Context(), query, func(context.Context, string) (*coherence.Entry, error) {
		n := c.fills.Add(1)
		time.Sleep(c.takes)
		return &coherence.Entry{Status: http.StatusOK, Body: fmt.Append(nil, n)}, c.err
	})
	if err != nil {
		return string(fault.KindOf(err))
	}
	return fmt.Sprintf("%s %s %v", list.Body, source, list.Age())
}

func (c *catalogue) want(query, want string) {
	c.t.Helper()
	if got := c.read(query); got != want {
		c.t.Errorf("got %q, want %q", got, want)
	}
}

func TestListsAreNearForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openLists(t)
		c.want("q=a", "1 miss 0s")
		time.Sleep(999 * time.Millisecond)
		c.want("q=a", "1 near 999ms")
		c.want("q=b", "2 miss 0s")
		time.Sleep(time.Millisecond)
		c.want("q=a", "3 miss 0s")
	})
}

// TestNobodyWaitsForAListThatWillBeTooOld: one that takes its time is shared by
// only readers who came soon after it began.
func TestNobodyWaitsForAListThatWillBeTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openLists(t)
		c.takes = 2 * time.Second
		answers := make(chan string, 3)
		go func() { answers <- c.read("") }()
		time.Sleep(999 * time.Millisecond)
		go func() { answers <- c.read("") }()
		time.Sleep(time.Millisecond)
		go func() { answers <- c.read("") }()
		for _, want := range []string{"1 miss 2s", "1 miss 2s", "2 miss 2s"} {
			if got := <-answers; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

func TestOldListsAreGivenWhileTheServiceIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openLists(t)
		c.want("", "1 miss 0s")
		time.Sleep(5 * time.Second)
		c.err = fault.New(fault.Overloaded, "too much to do")
		c.want("", "overloaded")
		c.err = fault.New(fault.Unavailable, "away")
		c.want("", "1 stale 5s")
		c.err = circuitOpen()
		c.want("", "1 stale 5s")
		c.want("q=x", "circuit_open")
		time.Sleep(10 * time.Minute)
		c.want("", "circuit_open")
	})
}
