package database

import (
	"context"
	"os"
	"syscall"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machine"
)

// Psql replaces this process by psql on the member that takes writes. It returns only if it could not.
func Psql(ctx context.Context, c *cluster.Cluster, name string, args ...string) error {
	program, err := machine.Tool("psql")
	if err != nil {
		return err
	}
	a, err := reach(ctx, c)
	if err != nil {
		return err
	}
	args = append([]string{program, a.dsn(name) + " target_session_attrs=read-write"}, args...)
	// Through the environment: everybody on the machine can read arguments.
	return syscall.Exec(program, args, append(os.Environ(), "PGPASSWORD="+a.password))
}
