package pg

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/fault"
)

// ProbeEvery is the pause between two rounds that query every member's position.
const ProbeEvery = 500 * time.Millisecond

const (
	// maxLag is how far a replica may be behind the leader to be read from.
	maxLag = time.Second
	// replicaPatience bounds a read on one replica. Two replicas are tried, then the leader, so that a frozen member
	// costs a read less than a second.
	replicaPatience = 400 * time.Millisecond
	replicaTries    = 2
	// samplesKept reach back beyond maxLag.
	samplesKept = 16
)

// Replicas is the read pool. It spreads reads that may lag over the replicas whose lag is small enough, and reads from
// the leader when there are none.
//
// Lag is measured against samples of the leader's position: a replica that has replayed a sample has every commit that
// was acknowledged before the sample was taken. While no leader answers, nothing is acknowledged. Replicas that were
// close to the last sample then go on serving, and the age that Read returns grows.
type Replicas struct {
	config Config
	name   string
	leader *pgxpool.Pool
	reads  *prometheus.CounterVec
	bounds *bounds
	probes sync.WaitGroup

	mu      sync.Mutex
	members map[member]*replica
	order   []member
	next    int      // the index of the next read's member
	samples []report // of leaders, the newest last
}

// OpenReplicas makes the read pool that goes with a write pool. It reads from the
// leader alone until its first Round, and always if c has no members file. reg may be
// nil.
func OpenReplicas(c Config, leader *pgxpool.Pool, name string, reg *prometheus.Registry) *Replicas {
	r := &Replicas{
		config: c, name: name, leader: leader, bounds: newBounds(name+" replicas", reg), members: map[member]*replica{},
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "db_reads_total", Help: "Reads that may come from a replica, by the role of the member that served them: replica or leader.",
		}, []string{"from"}),
	}
	if reg != nil {
		reg.MustRegister(r.reads)
	}
	return r
}

// Close closes all connections but the leader's. Before it is called, the last Round
// must have returned and its context must have ended.
func (r *Replicas) Close() {
	r.probes.Wait()
	_ = r.follow(nil) // opens nothing
}

// Round probes every member of the current list. It does not wait for the answers: a member that is silent must not
// delay what is known of the others.
func (r *Replicas) Round(ctx context.Context) error {
	if r.config.MembersFile == "" {
		return nil
	}
	list, err := readMembers(r.config.MembersFile)
	if err == nil {
		err = r.follow(list)
	}
	// Where the list cannot be had, the members of the last one are still there.
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		if m.probing.CompareAndSwap(false, true) {
			r.probes.Go(func() {
				defer m.probing.Store(false)
				if s := m.probe(ctx); s != nil && s.leading {
					r.sample(*s)
				}
			})
		}
	}
	return err
}

// follow opens the members that are new in the list and closes those that left it.
func (r *Replicas) follow(list []member) error {
	var gone []*replica
	defer func() {
		for _, m := range gone {
			m.pool.Close() // waits for its reads
		}
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	for at, m := range r.members {
		if !slices.Contains(list, at) {
			gone = append(gone, m)
			delete(r.members, at)
		}
	}
	r.order = list
	for _, at := range list {
		if r.members[at] != nil {
			continue
		}
		m, err := openReplica(r.config, at, r.name, r.bounds)
		if err != nil {
			return err
		}
		r.members[at] = m
	}
	return nil
}

// sample keeps a leader's report, unless a later leader has reported already.
func (r *Replicas) sample(s report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.samples); n > 0 {
		switch last := r.samples[n-1]; {
		case last.position.System != s.position.System:
			r.samples = nil
		case s.position.Timeline < last.position.Timeline || s.at.Before(last.at):
			return
		}
	}
	r.samples = append(r.samples, s)
	r.samples = slices.Delete(r.samples, 0, max(0, len(r.samples)-samplesKept))
}

// Read runs fn on a replica that lags by a second at most and has replayed the position after; else on the leader. When
// fn fails, it may be run again on another member, so it must have no effect then. age bounds how old the data is that
// fn read; 0 for the leader's.
func (r *Replicas) Read(ctx context.Context, after Position, fn func(context.Context, Querier) error) (age time.Duration, err error) {
	tried := map[*replica]bool{}
	for len(tried) < replicaTries {
		m, lag := r.pick(tried)
		if m == nil {
			break
		}
		tried[m] = true
		began := time.Now()
		patience, cancel := context.WithTimeout(ctx, replicaPatience)
		err := m.read(patience, after, fn)
		cancel()
		if err == nil {
			r.reads.WithLabelValues("replica").Inc()
			return lag + time.Since(began), nil
		}
		if ctx.Err() != nil {
			return 0, Fault("read", ctx.Err())
		}
		if kind := fault.KindOf(Fault("read", err)); kind == fault.Unavailable || kind == fault.DeadlineExceeded {
			m.last.Store(nil) // until it answers again
		}
	}
	r.reads.WithLabelValues("leader").Inc()
	return 0, fn(ctx, r.leader)
}

// pick returns the next replica whose lag is small enough, and its lag.
func (r *Replicas) pick(tried map[*replica]bool) (*replica, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for range r.order {
		r.next++
		m := r.members[r.order[r.next%len(r.order)]]
		if m == nil || tried[m] {
			continue
		}
		if lag, ok := r.lag(m.last.Load(), now); ok {
			return m, lag
		}
	}
	return nil, 0
}

// lag bounds how old a member's data is. ok tells whether the member was close enough to the leader's last sample.
func (r *Replicas) lag(s *report, now time.Time) (time.Duration, bool) {
	if s == nil || s.leading || now.Sub(s.at) > maxLag {
		return 0, false
	}
	for _, sample := range slices.Backward(r.samples) {
		if s.position.covers(sample.position) {
			return now.Sub(sample.at), r.samples[len(r.samples)-1].at.Sub(sample.at) <= maxLag
		}
	}
	return 0, false
}

const (
	// probeReplicaTimeout is how long a member may take to report its position. One that takes longer, because it is
	// frozen for example, gets no reads until it answers again.
	probeReplicaTimeout = 500 * time.Millisecond
	// catchUp is how long a read waits for a replica to replay its position; it checks every catchUpPause.
	catchUp      = 50 * time.Millisecond
	catchUpPause = 5 * time.Millisecond
)

var (
	errBehind = errors.New("the replica has not replayed the position")
	errBusy   = errors.New("the replica has as many reads as it gets from here")
)

// replica is one member: the last report of its position, and a small pool of connections to it. It may be the leader;
// then nothing is read there.
type replica struct {
	pool    *pgxpool.Pool
	slots   chan struct{} // reads in flight; one connection more is for probes
	probing atomic.Bool
	last    atomic.Pointer[report]
	// timeline is the last one that it reported. A replica reports none while no
	// log reaches it, as when the leader has just died.
	timeline atomic.Uint32
}

// report is a position that a member reported. It covers what the member had replayed at that time at least; for a
// leader, everything that was acknowledged before that time.
type report struct {
	at       time.Time
	position Position
	leading  bool
}

// openReplica makes the pool of one member.
func openReplica(c Config, m member, name string, b *bounds) (*replica, error) {
	cfg, err := pgxpool.ParseConfig(c.DSN.Reveal())
	if err != nil {
		return nil, c.Validate()
	}
	session(cfg.ConnConfig, name)
	cfg.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	cfg.MaxConns = c.ReadConns + 1
	c.MembersFile = "" // it is this member, whatever the list says
	w := &watch{config: c, gate: newConnectGate(), bounds: b, only: &m}
	w.keep(cfg)
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	w.reset.Store(new(pool.Reset))
	return &replica{pool: pool, slots: make(chan struct{}, c.ReadConns)}, nil
}

// probe queries the member's position. A member that does not answer gets no reads.
func (r *replica) probe(ctx context.Context) *report {
	ctx, cancel := context.WithTimeout(ctx, probeReplicaTimeout)
	defer cancel()
	began := time.Now()
	position, leading, err := r.position(ctx, r.pool)
	if err != nil {
		r.last.Store(nil)
		return nil
	}
	s := &report{at: began, position: position, leading: leading}
	r.last.Store(s)
	return s
}

// position queries the member's position, and whether it leads.
func (r *replica) position(ctx context.Context, db Querier) (p Position, leading bool, err error) {
	p, leading, err = scanPosition(db.QueryRow(ctx, positionQuery))
	switch {
	case err != nil:
		return p, leading, Fault("read a member's position", err)
	case p.Timeline != 0:
		r.timeline.Store(p.Timeline)
	default:
		p.Timeline = r.timeline.Load()
	}
	return p, leading, nil
}

// read runs fn on a connection to the member once it has replayed the position.
func (r *replica) read(ctx context.Context, after Position, fn func(context.Context, Querier) error) error {
	select {
	case r.slots <- struct{}{}:
	default:
		return errBusy
	}
	defer func() { <-r.slots }()
	conn, err := r.pool.Acquire(ctx)
	if err != nil {
		return Fault("connect to a replica", err)
	}
	defer conn.Release()
	if after != (Position{}) {
		if err := r.reach(ctx, conn, after); err != nil {
			return err
		}
	}
	return fn(ctx, conn)
}

// reach waits until the member has replayed the position, up to catchUp. What it cannot come to is not waited for: a
// position on another timeline, which after a restore may lie beyond what the leader has.
func (r *replica) reach(ctx context.Context, db Querier, after Position) error {
	tick := time.NewTicker(catchUpPause)
	defer tick.Stop()
	for began := time.Now(); ; {
		at, _, err := r.position(ctx, db)
		switch {
		case err != nil:
			return err
		case at.covers(after):
			return nil
		case time.Since(began) > catchUp || at.System != after.System || at.Timeline != after.Timeline:
			return errBehind
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return Fault("wait for a replica", ctx.Err())
		}
	}
}

// Querier is a connection or a pool that a read runs on.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}
