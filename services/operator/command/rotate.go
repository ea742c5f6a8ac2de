package command

import (
	"slices"
	"time"

	"github.com/spf13/cobra"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machine"
	"bookstore/services/operator/rotate"
)

func rotateCommand() *cobra.Command {
	var grace time.Duration
	cmd := &cobra.Command{
		Use:   "rotate [WHAT…]",
		Short: "Give the shop new keys, certificates, passwords and tokens while it serves; without a name all but agents and backup",
		Long: `Give the shop new keys, certificates, passwords and tokens while it serves; without a name all but agents (ca does more) and backup.

` + rotate.Help() + `
What is new is taken beside what is old until nobody uses that any more. Interrupted, it is simply run again.`,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			rest := slices.DeleteFunc(rotate.Names(), func(name string) bool { return slices.Contains(args, name) })
			return rest, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: changing(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			shop := rotate.Shop{Cluster: c, Out: speak(cmd), Dir: machine.Access, Machine: rotate.Here{Out: cmd.OutOrStdout()}, Grace: grace}
			return shop.Run(cmd.Context(), args...)
		}),
	}
	cmd.Flags().DurationVar(&grace, "grace", time.Minute, "how long the API takes its old tokens still")
	return cmd
}
