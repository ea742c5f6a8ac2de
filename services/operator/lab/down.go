package lab

import (
	"context"
	"os"
	"time"
)

// Down removes the lab with all its data. The store of images stays.
func Down(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	all, err := Machines(ctx)
	if err != nil {
		return err
	}
	args := []string{"rm", "-f", "-v"}
	for _, m := range all {
		args = append(args, m.Name)
	}
	if len(all) > 0 {
		if _, err := docker(ctx, args...); err != nil {
			return err
		}
	}
	if _, err := docker(ctx, "network", "inspect", network); err == nil {
		if _, err := docker(ctx, "network", "rm", network); err != nil {
			return err
		}
	}
	return os.RemoveAll(string(Own))
}
