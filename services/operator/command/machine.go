package command

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machines"
)

func machineCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "machine", Short: "Have members of the database and nodes of Redis follow the machines that there are"}
	cmd.AddCommand(machineList(), machineBalance(), machineRemove())
	return cmd
}

func fleet(cmd *cobra.Command, c *cluster.Cluster) *machines.Fleet {
	return &machines.Fleet{Cluster: c, Out: speak(cmd)}
}

func machineList() *cobra.Command {
	return withJSON(&cobra.Command{
		Use:   "list",
		Short: "Show the machines, and which members of the database and nodes of Redis are on each",
		Args:  cobra.NoArgs,
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
			if err := c.Ready(cmd.Context()); err != nil {
				return err
			}
			all, err := fleet(cmd, c).Machines(cmd.Context())
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return speak(cmd).JSON(all)
			}
			rows := [][]any{{"MACHINE", "ADDRESS", "STATE", "MEMBERS", "REDIS", "FREE MB"}}
			for _, m := range all {
				state := "down"
				if m.Up {
					state = "up"
				}
				if !m.Eligible {
					state += ", takes no work"
				}
				rows = append(rows, []any{m.Name, m.Address, state, numbers(m.Members), numbers(m.Redis), m.MemoryMB})
			}
			speak(cmd).Table(rows...)
			return nil
		}),
	})
}

func numbers(all []int) string {
	slices.Sort(all)
	words := make([]string, len(all))
	for i, n := range all {
		words[i] = strconv.Itoa(n)
	}
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, " ")
}

func machineBalance() *cobra.Command {
	return &cobra.Command{
		Use:   "balance",
		Short: "Spread members of the database and nodes of Redis over the machines as even as can be, one at a time: after one was added",
		Args:  cobra.NoArgs,
		RunE: changing(func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
			if err := c.Ready(cmd.Context()); err != nil {
				return err
			}
			return fleet(cmd, c).Balance(cmd.Context())
		}),
	}
}

func machineRemove() *cobra.Command {
	var lost bool
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a machine away for good: have all that is on it go elsewhere, and the others forget it once it is off",
		Long: `Take a machine away for good: have all that is on it go elsewhere, and the others forget it once it is off.

The first run empties the machine while the shop serves. Then it is switched off, and a second run has the others forget it.
Interrupted, it is simply run again. It runs on another machine than the one that goes.`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
			c, err := cluster.Open()
			if err != nil || len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			all, err := fleet(cmd, c).Machines(cmd.Context())
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			for _, m := range all {
				names = append(names, m.Name)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: changing(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			if err := c.Ready(cmd.Context()); err != nil {
				return err
			}
			return fleet(cmd, c).Remove(cmd.Context(), args[0], lost)
		}),
	}
	cmd.Flags().BoolVar(&lost, "lost", false, "the machine is off for good already, with the data on it")
	return cmd
}
