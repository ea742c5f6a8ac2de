package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"bookstore/patroni/backup"
	"bookstore/services/operator/cluster"
	"bookstore/services/operator/database"
	"bookstore/services/operator/jobs"
	"bookstore/services/operator/restore"
	"bookstore/services/operator/sagas"
)

func dbBackup() *cobra.Command {
	var detach bool
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Make the backup that is due, without waiting for the hour",
		Args:  cobra.NoArgs,
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
			if err := c.Ready(cmd.Context()); err != nil {
				return err
			}
			run, err := jobs.Start(cmd.Context(), c, "backup")
			if err != nil || detach {
				return err
			}
			return jobs.Finish(cmd.Context(), c, speak(cmd), run, 2*time.Hour, "backup", "verify")
		}),
	}
	cmd.Flags().BoolVar(&detach, "detach", false, "do not wait for its end")
	return cmd
}

func dbRestore() *cobra.Command {
	var (
		to   string
		from int
	)
	cmd := &cobra.Command{
		Use:   "restore --to TIME [--repository 2]",
		Short: "Bring the four databases back to a point in time, and the shop up on them",
		Long: `Bring the four databases back to a point in time, and the shop up on them.

What was written since is gone from the shop; the members' data of before stays beside the new until the next restore. If
the recovery fails, the shop comes up as it was. Sagas begun before wait until 'shop db resume' lets them call the payment
provider again.

Repository 1 is on the volume of the backups, 2 in S3; each is enough by itself.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return errors.New("say to when: go tool task db:restore -- --to '2026-01-31 12:00:00'")
			}
			if from != int(backup.Volume) && from != int(backup.S3) {
				return fmt.Errorf("there is no repository %d: %d is on the volume of the backups, %d in S3", from, backup.Volume, backup.S3)
			}
			return changing(func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
				return restoreTo(cmd, c, backup.Repository(from), to)
			})(cmd, args)
		},
	}
	cmd.Flags().IntVar(&from, "repository", int(backup.Volume), "the repository to restore from")
	cmd.Flags().StringVar(&to, "to", "", "the time, 'YYYY-MM-DD HH:MM:SS', of UTC or with a zone")
	return cmd
}

func restoreTo(cmd *cobra.Command, c *cluster.Cluster, from backup.Repository, to string) error {
	if err := c.Ready(cmd.Context()); err != nil {
		return err
	}
	files, err := jobs.Here(cmd.Context())
	if err != nil {
		return err
	}
	if err := restore.To(cmd.Context(), c, speak(cmd), files, from, to); err != nil {
		return err
	}
	return resume(cmd, c, false)
}

func dbResume() *cobra.Command {
	var list bool
	cmd := withJSON(&cobra.Command{
		Use:   "resume",
		Short: "After a restore, let sagas begun before it call the payment provider again",
		Long: `After a restore, let sagas begun before it call the payment provider again, and list them.

The provider may have done more for them than the databases know: compare first, with --list.`,
		Args: cobra.NoArgs,
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
			if err := c.Ready(cmd.Context()); err != nil {
				return err
			}
			return resume(cmd, c, !list)
		}),
	})
	cmd.Flags().BoolVar(&list, "list", false, "list them, and let them wait")
	return cmd
}

// resume shows the sagas that wait and, if they are to, lets them go on.
func resume(cmd *cobra.Command, c *cluster.Cluster, goOn bool) error {
	ctx, out := cmd.Context(), speak(cmd)
	var held []sagas.Saga
	err := database.Do(ctx, c, sagas.Database, func(ctx context.Context, conn *pgx.Conn) (err error) {
		if held, err = sagas.Held(ctx, conn); err == nil && goOn {
			err = sagas.Release(ctx, conn)
		}
		return err
	})
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return out.JSON(held)
	}
	rows := [][]any{{"SAGA", "DEFINITION", "STATE", "STEP", "BEGUN"}}
	for _, s := range held {
		rows = append(rows, []any{s.ID, s.Definition, s.State, s.At(), s.Begun.Format(time.RFC3339)})
	}
	out.Table(rows...)
	if goOn {
		out.Sayf("%d sagas go on", len(held))
	} else {
		out.Sayf("%d sagas wait before they call the payment provider; 'go tool task db:resume' lets them go on", len(held))
	}
	return nil
}
