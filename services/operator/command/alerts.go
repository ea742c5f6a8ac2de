package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/receivers"
)

// longest is how many bytes of a receiver's item are read.
const longest = 4096

func alerts() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "alerts",
		Short: "Show who is told of alerts; secrets are not shown",
		Args:  cobra.NoArgs,
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
			has, err := c.Items(cmd.Context(), receivers.Job)
			if err != nil {
				return err
			}
			rows := [][]any{{"ITEM", "VALUE", "WHAT"}}
			for _, item := range receivers.Items {
				value, set := has[item.Name]
				switch {
				case !set:
					value = "-"
				case item.Secret:
					value = "(set)"
				}
				rows = append(rows, []any{item.Name, value, item.Means})
			}
			speak(cmd).Table(rows...)
			return nil
		}),
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "set ITEM",
		Short: "Set an item of who is told; its value is read from the standard input, so that it is in no list of processes",
		Args:  cobra.ExactArgs(1),
		RunE: onItem(func(cmd *cobra.Command, c *cluster.Cluster, item receivers.Item) (bool, error) {
			value, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), longest))
			if err != nil {
				return false, fmt.Errorf("read the value of %s: %w", item.Name, err)
			}
			return receivers.Set(cmd.Context(), c, item, string(value))
		}),
	}, &cobra.Command{
		Use:   "unset ITEM",
		Short: "Take an item of who is told away",
		Args:  cobra.ExactArgs(1),
		RunE: onItem(func(cmd *cobra.Command, c *cluster.Cluster, item receivers.Item) (bool, error) {
			return receivers.Unset(cmd.Context(), c, item)
		}),
	})
	return cmd
}

// onItem finds the item that a command's argument names, and says whether it is different now.
func onItem(change func(*cobra.Command, *cluster.Cluster, receivers.Item) (bool, error)) func(*cobra.Command, []string) error {
	return onCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
		item, err := receivers.Find(args[0])
		if err != nil {
			return err
		}
		if err := c.Ready(cmd.Context()); err != nil {
			return err
		}
		changed, err := change(cmd, c, item)
		sayIf(speak(cmd), err == nil, "%s is %s", item.Name, map[bool]string{true: "changed", false: "as it was"}[changed])
		return err
	})
}
