// Package command is the operator's command, `shop`: each subcommand reads its arguments here and has a package of its
// own beside this one do the work. It knows Nomad and Consul, not the services' code.
package command

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
)

// New makes the command with all that is below it.
func New() *cobra.Command {
	root := &cobra.Command{
		Use:           "shop",
		Short:         "Look after the bookstore on its cluster",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(up(), down(), deploy(), restart(), db(), redisCommand(), rotateCommand(), warehouse(), sagasCommand(), alerts(), drill(), status(), logs(), token(), images(), certificate(), terraformCommand(), bundleCommand(), labCommand(), machineCommand(), booted())
	return root
}

// speak is the console of a command: its standard output.
func speak(cmd *cobra.Command) console.Console { return console.Console{Out: cmd.OutOrStdout()} }

// withJSON gives a command the flag --json, for one whose answer a program may want to read.
func withJSON(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Bool("json", false, "print JSON")
	return cmd
}

func wantsJSON(cmd *cobra.Command) bool {
	asked, err := cmd.Flags().GetBool("json")
	return err == nil && asked
}

// onCluster opens the cluster for a command.
func onCluster(run func(*cobra.Command, *cluster.Cluster, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := cluster.Open()
		if err != nil {
			return err
		}
		return run(cmd, c, args)
	}
}

// jobNames completes the name of a job that Nomad has.
func jobNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, err := cluster.Open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names, err := namesOfJobs(cmd.Context(), c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(args, name) }), cobra.ShellCompDirectiveNoFileComp
}

func namesOfJobs(ctx context.Context, c *cluster.Cluster) ([]string, error) {
	jobs, err := c.Jobs(ctx)
	names := make([]string, 0, len(jobs))
	for _, job := range jobs {
		names = append(names, job.ID)
	}
	return names, err
}
