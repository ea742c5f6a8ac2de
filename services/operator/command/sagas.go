package command

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/database"
	"bookstore/services/operator/firstorder"
	"bookstore/services/operator/sagas"
)

func sagasCommand() *cobra.Command {
	var state string
	cmd := withJSON(&cobra.Command{
		Use:   "sagas",
		Short: "List the sagas that are not over, or those in a state, the oldest first",
		Args:  cobra.NoArgs,
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
			if state != "" && !slices.Contains(sagas.States, state) {
				return fmt.Errorf("%q is no state: %s", state, strings.Join(sagas.States, ", "))
			}
			if err := c.Ready(cmd.Context()); err != nil {
				return err
			}
			var all []sagas.Saga
			err := database.Do(cmd.Context(), c, sagas.Database, func(ctx context.Context, conn *pgx.Conn) (err error) {
				all, err = sagas.List(ctx, conn, state)
				return err
			})
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return speak(cmd).JSON(all)
			}
			rows := [][]any{{"SAGA", "DEFINITION", "STATE", "AT", "BEGUN", "LAST CHANGE"}}
			for _, s := range all {
				rows = append(rows, []any{s.ID, s.Definition, s.State, s.At(), s.Begun.UTC().Format(time.DateTime), s.Changed.UTC().Format(time.DateTime)})
			}
			speak(cmd).Table(rows...)
			return nil
		}),
	})
	cmd.Flags().StringVar(&state, "state", "", "one of "+strings.Join(sagas.States, ", "))
	cmd.AddCommand(sagasShow(), sagasRetry())
	return cmd
}

func sagasShow() *cobra.Command {
	return withJSON(&cobra.Command{
		Use:   "show ID",
		Short: "Show a saga's steps; the first letters of its id will do",
		Args:  cobra.ExactArgs(1),
		RunE: onSaga(func(cmd *cobra.Command, _ *cluster.Cluster, s sagas.Saga) error {
			out := speak(cmd)
			if wantsJSON(cmd) {
				return out.JSON(s)
			}
			out.Linef("%s %s: %s, begun %s", s.Definition, s.ID, s.State, s.Begun.UTC().Format(time.DateTime))
			rows := [][]any{{"STEP", "STATE", "ATTEMPTS", "ERROR"}}
			for _, step := range s.Steps {
				rows = append(rows, []any{step.Name, step.State, step.Attempts, step.Error})
			}
			out.Table(rows...)
			return nil
		}),
	})
}

func sagasRetry() *cobra.Command {
	return &cobra.Command{
		Use:   "retry ID",
		Short: "Have a checkout that is stuck go on; the first letters of its id will do",
		Args:  cobra.ExactArgs(1),
		RunE: onSaga(func(cmd *cobra.Command, c *cluster.Cluster, s sagas.Saga) error {
			token, err := c.Item(cmd.Context(), "gateway", "operator_token")
			if err != nil {
				return err
			}
			door, err := firstorder.FindDoor(cmd.Context(), c)
			if err != nil {
				return err
			}
			state, err := sagas.Retry(cmd.Context(), door.Client, door.URL, token, s)
			if err != nil {
				return err
			}
			speak(cmd).Sayf("%s %s: %s", s.Definition, s.ID, state)
			return nil
		}),
	}
}

// onSaga finds the saga that a command's argument names.
func onSaga(run func(*cobra.Command, *cluster.Cluster, sagas.Saga) error) func(*cobra.Command, []string) error {
	return onCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
		if err := c.Ready(cmd.Context()); err != nil {
			return err
		}
		var s sagas.Saga
		err := database.Do(cmd.Context(), c, sagas.Database, func(ctx context.Context, conn *pgx.Conn) (err error) {
			s, err = sagas.Find(ctx, conn, args[0])
			return err
		})
		if err != nil {
			return err
		}
		return run(cmd, c, s)
	})
}
