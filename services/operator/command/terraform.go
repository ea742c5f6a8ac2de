package command

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machine"
	"bookstore/services/operator/provide"
	"bookstore/services/operator/terraform"
)

func terraformCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "terraform", Short: "What the folder terraform needs from this machine"}
	cmd.AddCommand(terraformPrepare(), terraformVersions(), terraformImports())
	return cmd
}

func terraformPrepare() *cobra.Command {
	return &cobra.Command{
		Use:   "prepare",
		Short: "Give Nomad its first token and the S3 server a certificate, and wait for the nodes: before the first 'terraform apply'",
		Args:  cobra.NoArgs,
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
			defer cancel()
			var leader string
			if _, err := c.Nomad.Raw().Query("/v1/status/leader", &leader, cluster.Query(ctx)); err != nil { // it tells everybody
				return cluster.ErrDown
			}
			return changing(prepare)(cmd, args)
		}),
	}
}

func prepare(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
	ctx, out := cmd.Context(), speak(cmd)
	keys, err := provide.KeysHere()
	if err != nil {
		return err
	}
	if err := provide.Bootstrap(ctx, c, keys.Operator); err != nil {
		return err
	}
	made, err := provide.S3Files(keys)
	sayIf(out, made, "a certificate for %s made", provide.S3Name)
	if err != nil {
		return err
	}
	nodes, err := machine.Nodes()
	if err != nil {
		return err
	}
	return provide.Nodes(ctx, c, out, nodes, nodeWithin)
}

func terraformVersions() *cobra.Command {
	return &cobra.Command{
		Use:   "versions",
		Short: "Print the tags of the images that are built on this machine, as a file of variables",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tags, err := machine.Images(cmd.Context())
			if err != nil {
				return err
			}
			return speak(cmd).JSON(map[string]any{"versions": tags})
		},
	}
}

func terraformImports() *cobra.Command {
	return &cobra.Command{
		Use:   "imports",
		Short: "Print import blocks for the shop that runs, so that Terraform takes over what is there",
		Args:  cobra.NoArgs,
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
			if err := c.Ready(cmd.Context()); err != nil {
				return err
			}
			root, err := machine.Root()
			if err != nil {
				return err
			}
			all, err := terraform.Imports(cmd.Context(), c, root, "module.shop")
			for _, i := range all {
				speak(cmd).Linef("%s", i)
			}
			return err
		}),
	}
}
