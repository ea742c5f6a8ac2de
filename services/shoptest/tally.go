package shoptest

import (
	"fmt"
	"sync"
)

// Tally adds up answers by what they were.
type Tally struct {
	mu sync.Mutex
	n  map[string]int
}

// Add counts one.
func (c *Tally) Add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[what]++
}

// Text is all counts in words.
func (c *Tally) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint(c.n)
}
