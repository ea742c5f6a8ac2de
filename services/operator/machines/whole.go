package machines

import (
	"context"
	"slices"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/console"
	"bookstore/services/operator/database"
	"bookstore/services/operator/redis"
)

// moveAll makes the moves that a plan has, each from what there is after the one before, when all are whole.
func (f *Fleet) moveAll(ctx context.Context, plan func(*state) ([]move, error)) (moved []move, err error) {
	for {
		s, err := f.look(ctx)
		if err != nil {
			return moved, err
		}
		if err := f.know(ctx, s); err != nil {
			return moved, err
		}
		moves, err := plan(s)
		if err != nil || len(moves) == 0 {
			return moved, err
		}
		if err := f.spare(ctx, s, moves[0]); err != nil {
			return moved, err
		}
		if err := f.move(ctx, s, moves[0]); err != nil {
			return moved, err
		}
		moved = append(moved, moves[0])
	}
}

// spare returns when an instance may be taken away: all others are whole, it does not lead, and a commit has as many standbys
// left as acknowledge it. The instance itself may be one that cannot start where it is.
func (f *Fleet) spare(ctx context.Context, s *state, m move) error {
	if err := f.awaitWhole(ctx, m.job, healWithin, m.instance); err != nil {
		return err
	}
	if m.job != "patroni" || !s.up(m.from) {
		return nil
	}
	if err := f.handOver(ctx, s, m.from, m.instance); err != nil {
		return err
	}
	if err := f.awaitWhole(ctx, m.job, healWithin, m.instance); err != nil {
		return err
	}
	members, err := database.Members(ctx, f.Cluster)
	if err != nil {
		return err
	}
	return database.Spare(members, memberName(m.index))
}

// handOver has a member elsewhere lead, where one of these on a node does.
func (f *Fleet) handOver(ctx context.Context, s *state, node string, of ...instance) error {
	members, err := database.Members(ctx, f.Cluster)
	if err != nil {
		return err
	}
	leader := database.Leader(members)
	if !slices.ContainsFunc(of, func(i instance) bool { return i.job == "patroni" && memberName(i.index) == leader }) {
		return nil
	}
	var elsewhere []string
	for i, at := range s.at {
		if i.job == "patroni" && at != node && slices.Contains(s.hosts, at) {
			elsewhere = append(elsewhere, memberName(i.index))
		}
	}
	f.Out.Stagef("the database's leader hands over")
	// Without a heir the switchover says what is wrong.
	return database.Switchover(ctx, f.Cluster, f.Out, database.Heir(members, elsewhere))
}

// awaitWhole waits until all of a job's instances have everything, but those whose machine is lost and those that are named.
func (f *Fleet) awaitWhole(ctx context.Context, job string, limit time.Duration, but ...instance) error {
	s, err := f.look(ctx)
	if err != nil {
		return err
	}
	var names []string
	count := 0
	for i, node := range s.at {
		if i.job != job {
			continue
		}
		count++
		if s.up(node) && !slices.Contains(but, i) {
			names = append(names, memberName(i.index))
		}
	}
	if job == "redis" {
		return f.awaitRedis(ctx, count, count-len(names)-len(but), but)
	}
	slices.Sort(names)
	wait := console.Wait{For: "that every member has everything", Limit: limit, Hint: "'go tool task db:status' shows them; run this again when they stream", Every: time.Second}
	return f.Out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		members, err := database.Members(ctx, f.Cluster)
		if err != nil {
			return err.Error(), nil //nolint:nilerr // the next look may be answered
		}
		return database.Missing(members, names), nil
	})
}

// awaitRedis waits until so many nodes are whole. Where some are lost, or one of these does not run, they are made elsewhere first.
func (f *Fleet) awaitRedis(ctx context.Context, count, lost int, nodes []instance) error {
	for _, i := range nodes {
		runs, err := f.allocation(ctx, i)
		if err != nil {
			return err
		}
		if runs == nil || runs.ClientStatus != nomad.AllocClientStatusRunning {
			return nil
		}
	}
	if lost > 0 {
		return nil
	}
	return redis.AwaitWhole(ctx, f.Cluster, f.Out, count, func(int, int) bool { return false })
}

// awaitApart waits until no node of Redis is beside another with the same slots, where there is room for that: no machine has more
// than half of the nodes.
func (f *Fleet) awaitApart(ctx context.Context) error {
	s, err := f.look(ctx)
	if err != nil {
		return err
	}
	count, most := 0, 0
	for i := range s.at {
		if i.job == "redis" {
			count++
			most = max(most, s.count(s.at[i], i.job))
		}
	}
	return redis.AwaitWhole(ctx, f.Cluster, f.Out, count, func(a, b int) bool {
		return 2*most <= count && s.at[instance{"redis", a}] == s.at[instance{"redis", b}]
	})
}
