package database

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"bookstore/patroni/socket"
	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machine"
)

// Psql replaces this process by psql in the container of the member that leads, where the superuser logs in. It returns
// only if it could not. Files that psql is to read come by its input.
func Psql(ctx context.Context, c *cluster.Cluster, name string, args ...string) error {
	program, err := machine.Tool("nomad")
	if err != nil {
		return err
	}
	members, err := Members(ctx, c)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(members, Member.Leads)
	if i < 0 {
		return errors.New("no member leads: 'go tool task db:status' shows them")
	}
	allocation, err := allocationOf(ctx, c, members[i].Name)
	if err != nil {
		return err
	}
	command := append([]string{program, "alloc", "exec", "-task", socket.Job, allocation, "psql", "--dbname", name}, args...)
	environment := os.Environ()
	if os.Getenv("NOMAD_ADDR") == "" {
		own, err := machine.Operator()
		if err != nil {
			return err
		}
		for key, value := range own {
			environment = append(environment, key+"="+value)
		}
	}
	return syscall.Exec(program, command, environment)
}

// allocationOf finds the one that runs a member, whose number its name has.
func allocationOf(ctx context.Context, c *cluster.Cluster, member string) (string, error) {
	var number int
	if _, err := fmt.Sscanf(member, "patroni-%d", &number); err != nil {
		return "", fmt.Errorf("the leader's name %q is not patroni-<number>: %w", member, err)
	}
	running, err := c.Running(ctx, socket.Job)
	if err != nil {
		return "", err
	}
	for _, allocation := range running {
		if allocation.Name == fmt.Sprintf("%s.%s[%d]", socket.Job, socket.Job, number) {
			return allocation.ID, nil
		}
	}
	return "", fmt.Errorf("%s does not run", member)
}
