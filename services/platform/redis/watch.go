package redis

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"
)

// watch has the cluster client ask anew who serves what as soon as a try fails
// the way tries at a dead or frozen node do. By itself the client learns of
// another master from a node that sends it there, and a dead one sends nobody.
// The client asks at most every 200 ms, however often it is told to.
type watch struct{ cluster *goredis.ClusterClient }

var _ goredis.Hook = watch{}

// DialHook leaves dialling as it is: a failed dial fails the call.
func (watch) DialHook(next goredis.DialHook) goredis.DialHook { return next }

// ProcessHook looks at what becomes of each try of a command.
func (w watch) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		w.judge(ctx, err)
		return err
	}
}

// ProcessPipelineHook looks at what becomes of each try of several commands.
func (w watch) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		err := next(ctx, cmds)
		w.judge(ctx, err)
		return err
	}
}

func (w watch) judge(ctx context.Context, err error) {
	if unreachable(err) {
		w.cluster.ReloadState(ctx)
	}
}

// unreachable tells whether no node, or none that serves the key, gave an answer.
func unreachable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	var answer goredis.Error
	return !errors.As(err, &answer) || goredis.IsClusterDownError(err)
}
