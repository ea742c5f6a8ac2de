package lab_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bookstore/services/cache/coherence"
	"bookstore/services/lab"
	"bookstore/services/platform/redis"
	"bookstore/services/platform/redis/redistest"
)

// Books is killed again and again, between its commits and their announcements
// too. After an order is acknowledged the cache has no copy of the book from
// before it; and none once all is at rest.
func TestNoKillLeavesACacheBehind(t *testing.T) {
	const titles, kills = 4, 6
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	config, environment := redisFor(t)
	s := lab.Start(t, lab.Options{Books: titles, Stock: 100_000, Env: map[lab.Service]map[string]string{lab.Books: environment}})
	client, err := redis.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c := &readers{t: t, shop: s, shared: coherence.NewShared(client, nil)}
	c.shared.Patience = time.Second

	over, stop := context.WithCancel(ctx)
	var buying sync.WaitGroup
	for book := range int64(titles) {
		buying.Go(func() {
			for n := 0; over.Err() == nil; n++ {
				c.buy(ctx, book+1, n)
			}
		})
	}
	for range kills {
		<-time.After(200*time.Millisecond + rand.N(500*time.Millisecond))
		s.Kill(lab.Books)
		if err := s.Restart(lab.Books); err != nil {
			t.Fatal(err)
		}
		if err := s.Ready(ctx, lab.Books); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	buying.Wait()
	if err := s.WaitAtRest(ctx); err != nil {
		t.Error(err)
	}
	for book := range int64(titles) {
		c.check(ctx, book+1)
	}
	t.Logf("%d copies were stored, %d orders placed", c.stored.Load(), c.placed.Load())
	if c.stored.Load() < kills || c.placed.Load() < kills {
		t.Error("too little happened")
	}
}

// redisFor runs a Redis Cluster and returns its settings, for the test and for a service.
func redisFor(t *testing.T) (redis.Config, map[string]string) {
	t.Helper()
	dir := t.TempDir()
	c := redis.Config{MembersFile: filepath.Join(dir, "members"), CredentialsFile: filepath.Join(dir, "credentials")}
	for path, content := range map[string]string{c.MembersFile: redistest.Cluster(t), c.CredentialsFile: redistest.Credentials} {
		if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c, map[string]string{"REDIS_MEMBERS_FILE": c.MembersFile, "REDIS_CREDENTIALS_FILE": c.CredentialsFile}
}

// readers are clients of gateways that keep what they read in the shared cache.
type readers struct {
	t      *testing.T
	shop   *lab.Shop
	shared *coherence.Shared

	stored, placed atomic.Int64
}

// buy places an order, however long it takes, and checks the book then.
func (c *readers) buy(ctx context.Context, book int64, n int) {
	for post(ctx, c.shop, fmt.Sprintf("copies-%d-%d", book, n), book) != http.StatusCreated {
		if ctx.Err() != nil {
			c.t.Error("an order was never placed")
			return
		}
	}
	c.placed.Add(1)
	c.check(ctx, book)
}

// check fails the test if a copy shows less than the database. Where there is
// none, it stores one as a gateway does.
func (c *readers) check(ctx context.Context, book int64) {
	version := c.version(ctx, book)
	e, token, err := c.shared.Lookup(ctx, book)
	switch {
	case err != nil:
	case e != nil && e.StockVersion < version:
		c.t.Errorf("a copy of book %d shows version %d of its stock, which is at %d", book, e.StockVersion, version)
	case token != "":
		entry := &coherence.Entry{BookID: book, Version: 1, Status: http.StatusOK, Body: []byte("{}"), FilledAt: time.Now()}
		entry.StockVersion = c.version(ctx, book)
		if stored, err := c.shared.Store(ctx, token, entry); err == nil && stored {
			c.stored.Add(1)
		}
	}
}

func (c *readers) version(ctx context.Context, book int64) (version int64) {
	err := c.shop.DB(lab.BookDB).QueryRow(ctx, "select version from stock where book_id = $1", book).Scan(&version)
	if err != nil {
		c.t.Error(err)
	}
	return version
}
