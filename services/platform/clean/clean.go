// Package clean deletes rows that have been kept for long enough, faster than new ones can come.
//
// A Job says what is deleted. A Cleaner works on the jobs of one database: in each round it deletes small batches of each
// job in turn until none has anything left to delete. Nothing is remembered from one round to the next, so a restart
// costs nothing, and several instances may clean one database at once: each passes over the rows that another has locked.
package clean

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/wait"
)

// Every is the pause between two rounds.
const Every = time.Minute

// Job is one kind of rows that go after a time. Both statements must find their rows by an index.
type Job struct {
	// Name is the job's in metrics and in the log: as a rule the table's.
	Name string
	// Keep is how long rows are kept.
	Keep time.Duration
	// Delete deletes at most $2 rows that are older than the interval $1, the oldest first. It passes over rows that are
	// locked (SKIP LOCKED): live traffic and other instances neither wait for it nor deadlock with it.
	Delete string
	// Oldest returns the time at which the oldest row's Keep began, of the rows that Delete is for; null or no row when
	// there is none.
	Oldest string
}

const (
	firstBatch = 500  // rows of a round's first statement
	mostRows   = 5000 // of any statement
	// statementTarget is what a statement should take: batches shrink above it and grow well below it.
	statementTarget = 100 * time.Millisecond
	// statementLimit is when PostgreSQL ends a statement.
	statementLimit = 700 * time.Millisecond
	// clientLimit is when the client gives a statement up, with its commit on the standbys.
	clientLimit = 5 * time.Second
)

// Cleaner deletes what the jobs of one database say.
type Cleaner struct {
	pool *pgxpool.Pool
	log  *slog.Logger
	jobs []Job
	metrics
}

// New makes a cleaner; lifecycle.Every runs its Round. reg may be nil.
func New(pool *pgxpool.Pool, log *slog.Logger, reg prometheus.Registerer, jobs ...Job) *Cleaner {
	c := &Cleaner{pool: pool, log: log, jobs: jobs, metrics: newMetrics(jobs)}
	if reg != nil {
		reg.MustRegister(c.metrics)
	}
	return c
}

// task is a job in one round.
type task struct {
	Job

	batch   int // rows of the next statement
	removed int
}

// Round deletes all that is old enough, or as much as it can until ctx ends. It uses one connection, and that half of the
// time: after each statement it waits for as long as that took. A job that fails does not keep the others from theirs.
func (c *Cleaner) Round(ctx context.Context) error {
	var failed error
	todo := make([]*task, 0, len(c.jobs))
	for _, j := range c.jobs {
		todo = append(todo, &task{Job: j, batch: firstBatch})
		failed = errors.Join(failed, c.measure(ctx, j))
	}
	for len(todo) > 0 {
		todo = slices.DeleteFunc(todo, func(t *task) bool {
			began := time.Now()
			more, err := c.step(ctx, t)
			if err == nil && !more {
				err = c.finish(ctx, t)
			}
			failed = errors.Join(failed, err)
			wait.For(ctx, time.Since(began))
			return !more || err != nil
		})
		if ctx.Err() != nil {
			return errors.Join(failed, ctx.Err())
		}
	}
	return failed
}

// finish measures a job that has caught up.
func (c *Cleaner) finish(ctx context.Context, t *task) error {
	if t.removed > 0 {
		c.log.DebugContext(ctx, "old rows deleted", "job", t.Name, "rows", t.removed)
		return c.measure(ctx, t.Job)
	}
	return nil
}

// step deletes one batch and tells whether there may be more. A batch that takes too long is made smaller and tried again.
func (c *Cleaner) step(ctx context.Context, t *task) (more bool, err error) {
	began := time.Now()
	n, err := c.delete(ctx, t)
	took := time.Since(began)
	late := fault.KindOf(err) == fault.DeadlineExceeded || fault.KindOf(err) == fault.Contended
	switch {
	case err == nil:
		more = n == t.batch
		t.removed += n
		c.removed.WithLabelValues(t.Name).Add(float64(n))
		t.batch = next(t.batch, took)
		return more, nil
	case late && t.batch > 1:
		c.shrunk.WithLabelValues(t.Name).Inc()
		t.batch = max(t.batch/4, 1)
		return true, nil
	default:
		return false, fault.Wrap("clean "+t.Name, err)
	}
}

// next is the size of the batch after one that took so long.
func next(batch int, took time.Duration) int {
	switch {
	case took > statementTarget:
		return max(batch/2, 1)
	case took < statementTarget/4:
		return min(batch*2, mostRows)
	}
	return batch
}

// delete makes one statement, in a transaction of its own and one round trip. The plan is made for the very numbers that
// it gets: one for any limit would take a large one for granted, and read the table.
func (c *Cleaner) delete(ctx context.Context, t *task) (int, error) {
	var n int64
	err := c.send(ctx, func(b *pgx.Batch) {
		b.Queue(t.Delete, t.Keep, t.batch).Query(func(rows pgx.Rows) error {
			rows.Close()
			n = rows.CommandTag().RowsAffected()
			return rows.Err()
		})
	})
	return int(n), err
}

// measure sees how old the oldest row of a job is.
func (c *Cleaner) measure(ctx context.Context, j Job) error {
	var age *float64
	err := c.send(ctx, func(b *pgx.Batch) {
		b.Queue("select extract(epoch from clock_timestamp() - (" + j.Oldest + "))::float8").
			QueryRow(func(row pgx.Row) error { return row.Scan(&age) })
	})
	if err != nil {
		return fault.Wrap("measure "+j.Name, err)
	}
	var seconds float64
	if age != nil {
		seconds = max(0, *age)
	}
	c.seen(j.Name, time.Duration(seconds*float64(time.Second)))
	return nil
}

func (c *Cleaner) send(ctx context.Context, add func(*pgx.Batch)) error {
	ctx, cancel := context.WithTimeout(ctx, clientLimit)
	defer cancel()
	batch := &pgx.Batch{}
	batch.Queue("select set_config('statement_timeout', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true)",
		statementLimit.String())
	add(batch)
	return pg.Fault("send", c.pool.SendBatch(ctx, batch).Close())
}

// Tombstones deletes from warehouse_gone (platform/pg/track.sql) what no export can need any more. An increment reads the
// tombstones since the version before, and everything is read anew at least every 7 days (warehouse/cmd/warehouse holds
// FULL_EVERY to that): what is older than 8 days has been in a full run. Ids grow with time, so the first rows by id are
// the oldest, and no index by age has to be kept.
func Tombstones() Job {
	return Job{
		Name: "warehouse_gone",
		Keep: 8 * 24 * time.Hour,
		Delete: `
delete from warehouse_gone where ctid = any (array(
	select ctid from warehouse_gone
	where id <= (select max(id) from (select id from warehouse_gone order by id limit $2) first) and gone_at < now() - $1::interval
	order by id limit $2 for update skip locked))`,
		Oldest: `select gone_at from warehouse_gone order by id limit 1`,
	}
}
