// Command shop is the operator's: it brings the bookstore up on its cluster and looks after it there.
package main

import (
	"context"

	"bookstore/services/operator/command"
	"bookstore/services/platform/program"
)

func main() {
	program.Main("shop", func(ctx context.Context, env program.Env) error {
		cmd := command.New()
		cmd.SetArgs(env.Args)
		cmd.SetOut(env.Stdout)
		cmd.SetErr(env.Stderr)
		return cmd.ExecuteContext(ctx)
	})
}
