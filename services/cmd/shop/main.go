// Command shop is the operator's: it brings the bookstore up on its cluster and looks after it there.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"bookstore/services/operator/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command.New().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
