package command

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"
	"github.com/spf13/cobra"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machine"
	"bookstore/services/operator/provide"
	"bookstore/services/operator/receivers"
)

// jobStatus is a line of the status.
type jobStatus struct {
	Job     string `json:"job"`
	Type    string `json:"type"`
	Status  string `json:"status"`
	Running int    `json:"running"`
}

func status() *cobra.Command {
	return withJSON(&cobra.Command{
		Use:   "status",
		Short: "Show what runs, and how well: jobs, services as Consul sees them, and the addresses that clients may call",
		Args:  cobra.NoArgs,
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
			ctx, out := cmd.Context(), speak(cmd)
			if err := c.Ready(ctx); err != nil {
				return err
			}
			stubs, err := c.Jobs(ctx)
			if err != nil {
				return err
			}
			healths, err := c.Healths(ctx)
			if err != nil {
				return err
			}
			doors, err := c.Instances(ctx, "ingress")
			if err != nil {
				return err
			}
			addresses := addressesOf(doors)
			jobs := make([]jobStatus, 0, len(stubs))
			for _, stub := range stubs {
				jobs = append(jobs, statusOf(stub))
			}
			if wantsJSON(cmd) {
				return out.JSON(map[string]any{"jobs": jobs, "services": healths, "addresses": addresses})
			}
			rows := [][]any{{"JOB", "TYPE", "STATUS", "RUNNING"}}
			for _, job := range jobs {
				rows = append(rows, []any{job.Job, job.Type, job.Status, job.Running})
			}
			out.Table(rows...)
			out.Linef("")
			rows = [][]any{{"SERVICE", "CHECKS PASSING"}}
			for _, h := range healths {
				rows = append(rows, []any{h.Service, fmt.Sprintf("%d of %d", h.Passing, h.Checks)})
			}
			out.Table(rows...)
			out.Linef("")
			rows = [][]any{{"CLIENTS MAY CALL"}}
			for _, address := range addresses {
				rows = append(rows, []any{address})
			}
			out.Table(rows...)
			return nil
		}),
	})
}

// addressesOf are the URLs of the ingresses that are well: a client may use each, and goes to the next where one does not answer.
func addressesOf(doors []*consul.ServiceEntry) []string {
	all := []string{}
	for _, door := range doors {
		if door.Checks.AggregatedStatus() == consul.HealthPassing {
			all = append(all, "https://"+net.JoinHostPort(door.Service.Address, strconv.Itoa(door.Service.Port)))
		}
	}
	slices.Sort(all)
	return all
}

func statusOf(stub *nomad.JobListStub) jobStatus {
	s := jobStatus{Job: stub.ID, Type: stub.Type, Status: stub.Status}
	switch {
	case stub.Stop:
		s.Status += " (stopped)"
	case stub.Periodic:
		s.Status += " (by the clock)"
	}
	if stub.JobSummary != nil {
		for _, group := range stub.JobSummary.Summary {
			s.Running += group.Running
		}
	}
	return s
}

func token() *cobra.Command {
	kinds := provide.Tokens
	agents, alertmanager := []string{"nomad", "consul"}, "alertmanager"
	return &cobra.Command{
		Use:       "token [" + strings.Join(slices.Concat(kinds, agents), "|") + "|" + alertmanager + "]",
		Short:     "Print a token that the gateway accepts, the operator's or another; or what the page of Nomad, Consul or Alertmanager asks for",
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1)),
		ValidArgs: append(slices.Concat(kinds, agents), alertmanager),
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			kind := kinds[0]
			if len(args) == 1 {
				kind = args[0]
			}
			if slices.Contains(agents, kind) {
				value, err := machine.Secret("operator." + kind)
				speak(cmd).Linef("%s", value)
				return err
			}
			if kind == alertmanager {
				value, err := c.Item(cmd.Context(), receivers.Job, "password")
				speak(cmd).Linef("%s", value)
				return err
			}
			items, err := c.Items(cmd.Context(), "gateway")
			if err != nil || len(items) == 0 {
				return errors.New("Nomad has no tokens: 'go tool task up' makes them") //nolint:staticcheck // a name
			}
			value, ok := items[kind+"_token"]
			if !ok {
				return fmt.Errorf("there is no token %q: %s", kind, strings.Join(kinds, ", "))
			}
			speak(cmd).Linef("%s", value)
			return nil
		}),
	}
}

func images() *cobra.Command {
	all := withJSON(&cobra.Command{
		Use:   "images",
		Short: "Print the tags of the images that are built on this machine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tags, err := machine.Images(cmd.Context())
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return speak(cmd).JSON(tags)
			}
			var rows [][]any
			for name, tag := range tags {
				rows = append(rows, []any{"bookstore/" + name + ":" + tag})
			}
			slices.SortFunc(rows, func(a, b []any) int { return strings.Compare(fmt.Sprint(a[0]), fmt.Sprint(b[0])) })
			speak(cmd).Table(rows...)
			return nil
		},
	})
	all.AddCommand(&cobra.Command{
		Use:   "update",
		Short: "Lock the newest Debian packages (vagrant/provision/packages.lock) and build the images of them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return machine.Script(cmd.Context(), speak(cmd).Out, "40-images.sh", "update")
		},
	})
	return all
}
