package redis

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"
)

// watch makes the cluster client reload its slots as soon as a call fails as calls to a dead or frozen node do. By itself
// the client learns of a new master by a redirection, which a dead node does not send. It reloads at most every 200 ms.
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
