// Command redis-care is what the image of Redis runs: one node of the cluster and what keeps it
// in the cluster.
//
//	redis-care [ARGUMENTS…]   runs redis-server with them
//	redis-care show           prints what the node sees: index, id, role, slots and master of each
//	redis-care reload         has the server read its certificates and users again
//	redis-care users          prints the server's users, and whether clients need a certificate
//	redis-care empty          drops all that the node keeps for clients
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"

	"bookstore/jobs/redis/care"
	"bookstore/services/platform/config"
	"bookstore/services/platform/consultls"
)

// commandTimeout bounds each command.
const commandTimeout = 8 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status, err := run(ctx, os.Args[1:], os.Getenv, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "redis-care:", err)
		status = 1
	}
	os.Exit(status)
}

// run returns the exit status of the server, 0 of a command.
func run(ctx context.Context, args []string, getenv func(string) string, stdout io.Writer) (status int, err error) {
	c, err := config.Load[care.Config](getenv)
	if err != nil {
		return 0, err
	}
	settings := api.DefaultConfig() // address, CA and token as the job's environment has them
	if err := consultls.Follow(settings); err != nil {
		return 0, err
	}
	consul, err := api.NewClient(settings)
	if err != nil {
		return 0, fmt.Errorf("make Consul's client: %w", err)
	}
	log := slog.New(slog.NewJSONHandler(stdout, nil)).With("program", "redis-care", "index", c.Index)
	node := care.NewNode(c, &care.Directory{Client: consul, Count: c.Count, Log: log}, log)
	defer func() { _ = node.Close() }()

	command := ""
	if len(args) == 1 {
		command = args[0]
	}
	within, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	switch command {
	case "show", "users":
		read := node.Show
		if command == "users" {
			read = node.Users
		}
		text, err := read(within)
		if err != nil {
			return 0, err
		}
		_, err = fmt.Fprint(stdout, text)
		return 0, err
	case "reload":
		return 0, node.Reload(within)
	case "empty":
		return 0, node.Empty(within)
	default:
		return node.Run(ctx, args, stdout)
	}
}
