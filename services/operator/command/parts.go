package command

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/jobs"
	"bookstore/services/operator/provide"
)

// volumes and submit are what scripts ask for that keep others out themselves, as a restore does.
func volumes() *cobra.Command {
	return &cobra.Command{
		Use:    "volumes [COUNT]",
		Short:  "Make the volumes that are missing, for so many nodes of Redis",
		Hidden: true,
		Args:   cobra.MaximumNArgs(1),
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			redis := 0
			if len(args) == 1 {
				n, err := strconv.Atoi(args[0])
				if err != nil || n < 1 {
					return fmt.Errorf("%q is no number of nodes", args[0])
				}
				redis = n
			}
			made, err := provide.Volumes(cmd.Context(), c, redis)
			sayIf(speak(cmd), made > 0, "%d volumes made", made)
			return err
		}),
	}
}

func submit() *cobra.Command {
	return &cobra.Command{
		Use:    "submit [JOB…]",
		Short:  "Submit jobs with the images that there are, and wait until they are healthy",
		Hidden: true,
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			files, err := jobs.Here(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return files.DeployAll(cmd.Context(), c, speak(cmd))
			}
			return files.Deploy(cmd.Context(), c, speak(cmd), args...)
		}),
	}
}
