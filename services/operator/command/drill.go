package command

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machine"
)

// drill breaks the running shop in the ways that services/drills has.
func drill() *cobra.Command {
	var runs int
	cmd := &cobra.Command{
		Use:   "drill [SCENARIO…]",
		Short: "Break the running shop under load and hold it to its bars; an unknown scenario lists all",
		Long: `Break the running shop under load and hold it to its bars.

Without a scenario two are drawn (DRILL_SEED draws the same again). 'all' and 'failover' are sets; an unknown name lists all.
CHAOS_TIME, CHAOS_SEED and SILENT_FOR are for those that have them.`,
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			if err := c.Ready(cmd.Context()); err != nil {
				return err
			}
			names := strings.Join(args, ",")
			if names == "" {
				names = "drawn"
			}
			return runDrills(cmd, c, names, runs)
		}),
	}
	cmd.Flags().IntVar(&runs, "runs", 1, "how often each")
	return cmd
}

// runDrills builds the drills' program and runs it in their folder.
func runDrills(cmd *cobra.Command, c *cluster.Cluster, names string, runs int) error {
	root, err := machine.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "drills")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program := filepath.Join(dir, "drills")
	build := exec.CommandContext(cmd.Context(), "go", "test", "-c", "-tags", "drill", "-o", program, "./services/drills")
	build.Dir, build.Stdout, build.Stderr = root, cmd.OutOrStdout(), cmd.ErrOrStderr()
	if err := build.Run(); err != nil {
		return err
	}
	tokens, err := c.Items(cmd.Context(), "gateway")
	if err != nil {
		return err
	}
	// Customers have machines of their own: what they are served is not to wait for the shop's processors.
	run := exec.CommandContext(cmd.Context(), "chrt", "--rr", "1", program, "-test.run", "^TestDrills$", "-test.timeout", "3h", "-test.v")
	run.Dir, run.Stdout, run.Stderr = filepath.Join(root, "services/drills"), cmd.OutOrStdout(), cmd.ErrOrStderr()
	run.Cancel = func() error { return run.Process.Signal(syscall.SIGTERM) }
	run.Env = append(os.Environ(), "DRILLS="+names, "RUNS="+strconv.Itoa(runs),
		"BOOKSTORE_TEST_TOKEN="+tokens["test_token"], "BOOKSTORE_OPERATOR_TOKEN="+tokens["operator_token"])
	if os.Getenv("CHAOS_TIME") == "" {
		run.Env = append(run.Env, "CHAOS_TIME=2m")
	}
	return run.Run()
}
