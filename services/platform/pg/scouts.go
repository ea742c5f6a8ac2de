package pg

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	scoutsLook  = 500 * time.Millisecond // how long a connection attempt waits for them
	scoutsPause = 50 * time.Millisecond  // between two questions to each member, and after an attempt
	scoutsAsk   = 200 * time.Millisecond // what one answer may take
	scoutsAgain = 500 * time.Millisecond // between two connections to a member that did not let one in
	scoutsStay  = 5 * time.Second        // after the last attempt: then nobody wants to know any more
)

// scouts find the leader for a pool that has lost it. A connection that is refused because its
// server is a standby costs both sides a process, a handshake and a password check, and a moment
// later the same server may lead. So each member is asked through one connection that stays open:
// that costs next to nothing, and a new leader is known 50 ms after it is one.
type scouts struct {
	mu    sync.Mutex
	posts map[member]*post
	home  *time.Timer // closes all connections
}

// post is one member, seen by its scout.
type post struct {
	conn    *pgconn.PgConn // nil: none
	dialing bool
	next    time.Time // not dialed before
	err     error     // why there is no connection
}

// find returns the member that leads as soon as one does. cfg says where they are and how to get in.
func (s *scouts) find(ctx context.Context, cfg *pgx.ConnConfig) (leader string, err error) {
	end := time.Now().Add(scoutsLook)
	tick := time.NewTicker(scoutsPause)
	defer tick.Stop()
	for {
		leader, err = s.look(ctx, cfg)
		if leader != "" || !time.Now().Before(end) {
			return leader, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// look asks every member that has a scout and sends one to those that have none.
func (s *scouts) look(ctx context.Context, cfg *pgx.ConnConfig) (leader string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.home == nil {
		s.posts, s.home = map[member]*post{}, time.AfterFunc(scoutsStay, s.recall)
	}
	s.home.Reset(scoutsStay)
	for _, m := range hosts(cfg) {
		p := s.posts[m]
		if p == nil {
			p = &post{err: errors.New("not asked yet")}
			s.posts[m] = p
		}
		if p.conn != nil {
			if p.err = ask(ctx, p.conn); p.err == nil {
				go s.recall() //nolint:gosec // it outlives the attempt, as what it closes did
				return m.String(), nil
			}
			if p.conn.IsClosed() {
				p.conn, p.next = nil, time.Now().Add(scoutsAgain)
			}
		} else if !p.dialing && time.Now().After(p.next) {
			p.dialing = true
			go s.dial(p, only(cfg, m)) //nolint:gosec // the next attempt may have use of it; connectTimeout bounds it
		}
		err = errors.Join(err, p.err)
	}
	return "", err
}

// ask is nil when the member leads. It says so in any answer.
func ask(ctx context.Context, conn *pgconn.PgConn) error {
	ctx, cancel := context.WithTimeout(ctx, scoutsAsk)
	defer cancel()
	if _, err := conn.Exec(ctx, "").ReadAll(); err != nil {
		return err
	}
	return requireLeader(ctx, conn)
}

// dial sends a scout; its connection takes at most connectTimeout.
func (s *scouts) dial(p *post, cfg *pgconn.Config) {
	conn, err := pgconn.ConnectConfig(context.Background(), cfg)
	s.mu.Lock()
	defer s.mu.Unlock()
	p.conn, p.err, p.dialing, p.next = conn, err, false, time.Now().Add(scoutsAgain)
	s.home.Reset(scoutsStay)
}

// recall closes all connections.
func (s *scouts) recall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.posts {
		if p.conn == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), scoutsAsk)
		_ = p.conn.Close(ctx) // the server is told where it listens; the socket is closed in any case
		cancel()
		p.conn = nil
	}
}

// only is how to connect to one of cfg's members, whatever it is.
func only(cfg *pgx.ConnConfig, m member) *pgconn.Config {
	one, g := cfg.Copy(), &guard{}
	setMembers(one, []member{m}, "")
	one.DialFunc, one.ValidateConnect = g.dial, nil
	one.AfterConnect = func(context.Context, *pgconn.PgConn) error {
		g.settle()
		return nil
	}
	return &one.Config
}
