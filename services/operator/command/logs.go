package command

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	nomad "github.com/hashicorp/nomad/api"
	"github.com/spf13/cobra"

	"bookstore/services/operator/cluster"
	followed "bookstore/services/operator/logs"
)

// logged are the jobs whose programs write a line for what they are asked (package web).
var logged = []string{"gateway", "coordinator", "books", "orders", "payments"}

func logs() *cobra.Command {
	ids := map[string]*string{}
	cmd := withJSON(&cobra.Command{
		Use:   "logs JOB [TASK] | --request ID | --gid GID | --saga ID",
		Short: "Show the last lines of every allocation of a job; or one request's, transaction's or saga's way through all services",
		Long: "Show the last lines of every allocation of a job, the newest allocation last.\n\n" +
			"With --request (X-Request-Id of an answer), --gid or --saga: all lines about it of all services, in the order of time,\n" +
			"from the logs that Nomad still has. Requests that change something, failures and what took a second have a line each;\n" +
			"reads have one at level debug: shop logs level JOB debug.",
		ValidArgsFunction: jobNames,
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			if err := c.Ready(cmd.Context()); err != nil {
				return err
			}
			var asked []string
			for _, kind := range slices.Sorted(maps.Keys(ids)) {
				if cmd.Flags().Changed(kind) {
					asked = append(asked, kind)
				}
			}
			switch {
			case len(asked) == 1 && len(args) == 0:
				return showWay(cmd, c, asked[0], *ids[asked[0]])
			case len(asked) == 0 && len(args) >= 1 && len(args) <= 2 && !wantsJSON(cmd):
				return showLogs(cmd, c, args[0], strings.Join(args[1:], ""))
			}
			names, err := namesOfJobs(cmd.Context(), c)
			if err != nil {
				return err
			}
			return fmt.Errorf("name a job, and a task of it if need be: %s; or one of --request, --gid, --saga", strings.Join(names, ", "))
		}),
	})
	for kind, what := range map[string]string{
		"request": "the request's id, X-Request-Id", "gid": "the transaction's id", "saga": "the saga's id, which a checkout has",
	} {
		ids[kind] = cmd.Flags().String(kind, "", what)
	}
	cmd.AddCommand(logsLevel())
	return cmd
}

// showWay writes what the services' logs have about a request, a transaction or a saga.
func showWay(cmd *cobra.Command, c *cluster.Cluster, kind, id string) error {
	if len(id) < 8 || len(id) > 64 || strings.ContainsAny(id, "\"/\\ ") {
		return fmt.Errorf("--%s %q: an id has 8 to 64 letters, digits and hyphens", kind, id)
	}
	outputs, missed, err := followed.Gather(cmd.Context(), c, logged)
	if err != nil {
		return err
	}
	out := speak(cmd)
	lines := followed.Select(outputs, id, kind == "request")
	if len(lines) == 0 {
		return errors.Join(append(missed, fmt.Errorf("no service has a line about %s %s: the logs are younger, or it only read (shop logs --help)", kind, id))...)
	}
	for _, l := range lines {
		if wantsJSON(cmd) {
			out.Linef("%s", l.Raw)
		} else {
			out.Linef("%s", l)
		}
	}
	return errors.Join(missed...)
}

// logsLevel changes what the programs of a job log while they run.
func logsLevel() *cobra.Command {
	signals := map[string]string{"debug": "SIGUSR1", "configured": "SIGUSR2"}
	return &cobra.Command{
		Use:   "level JOB debug|configured",
		Short: "Have a service log everything, or as it is configured again; until it is restarted",
		Args:  cobra.ExactArgs(2),
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			signal, known := signals[args[1]]
			if !slices.Contains(logged, args[0]) || !known {
				return fmt.Errorf("name one of %s, and debug or configured", strings.Join(logged, ", "))
			}
			if err := c.Ready(cmd.Context()); err != nil {
				return err
			}
			count, err := c.Signal(cmd.Context(), args[0], args[0], signal)
			if err == nil {
				speak(cmd).Sayf("%d instances of %s log at level %s", count, args[0], args[1])
			}
			return err
		}),
	}
}

func showLogs(cmd *cobra.Command, c *cluster.Cluster, job, task string) error {
	const newest, lines = 8, 40
	ctx, out := cmd.Context(), speak(cmd)
	runs, err := c.Runs(ctx, job)
	if err != nil {
		return err
	}
	if len(runs) > 0 {
		job = runs[len(runs)-1].ID // the job itself only starts them
	} else if _, err := c.Job(ctx, job); err != nil {
		return fmt.Errorf("%w: 'go tool task status' lists what there is", err)
	}
	allocations, err := c.Allocations(ctx, job)
	if err != nil {
		return err
	}
	for _, a := range allocations[max(0, len(allocations)-newest):] {
		out.Stagef("%s %s (%s)", job, a.ID[:8], a.ClientStatus)
		for _, stream := range []string{"stdout", "stderr"} {
			// A task that never started has no output, and one that is long gone none any more.
			_ = c.Output(ctx, out.Out, a.ID, taskOf(a, task), stream, lines)
		}
		for _, state := range a.TaskStates {
			for _, event := range state.Events {
				if event.FailsTask || strings.Contains(event.Type, "Fail") {
					out.Linef("%s", event.DisplayMessage)
				}
			}
		}
	}
	return nil
}

// taskOf is the task that is asked for, else the one that is named as its job, else the first.
func taskOf(a *nomad.AllocationListStub, asked string) string {
	var names []string
	for name := range a.TaskStates {
		names = append(names, name)
	}
	slices.Sort(names)
	job, _, _ := strings.Cut(a.JobID, "/")
	switch {
	case asked != "":
		return asked
	case slices.Contains(names, job) || len(names) == 0:
		return job
	default:
		return names[0]
	}
}
