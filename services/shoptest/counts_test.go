package shoptest_test

import (
	"testing"
	"time"

	"bookstore/services/shoptest"
)

func TestGap(t *testing.T) {
	t.Parallel()
	start := time.Now()
	at := func(seconds ...int) (times []time.Time) {
		for _, s := range seconds {
			times = append(times, start.Add(time.Duration(s)*time.Second))
		}
		return times
	}
	for name, c := range map[string]struct {
		served             []time.Time
		since, until, want int
	}{
		"one before the harm does not count":        {at(0, 9, 10, 11), 10, 11, 1},
		"one under way when the harm comes does":    {at(5, 9), 6, 10, 4},
		"what never came back lasts to the end":     {at(1, 2), 2, 20, 18},
		"who never was served has waited all along": {nil, 2, 20, 18},
	} {
		got := shoptest.Gap(c.served, at(c.since)[0], at(c.until)[0])
		if want := time.Duration(c.want) * time.Second; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
