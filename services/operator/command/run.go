package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/firstorder"
	"bookstore/services/operator/jobs"
	"bookstore/services/operator/machine"
	"bookstore/services/operator/provide"
	"bookstore/services/operator/redis"
)

// changing is a command that changes the machine or the cluster: as root, and no two at once.
func changing(run func(*cobra.Command, *cluster.Cluster, []string) error) func(*cobra.Command, []string) error {
	return onCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
		if err := machine.BecomeRoot(); err != nil {
			return err
		}
		release, err := machine.Lock()
		if err != nil {
			return err
		}
		defer release()
		return run(cmd, c, args)
	})
}

func up() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring everything up on this machine: tools, images, Consul, Nomad, jobs, a first order",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			begin := time.Now()
			if err := machine.BecomeRoot(); err != nil {
				return err
			}
			if cluster, err := cmd.Flags().GetBool("cluster"); err == nil && cluster {
				return changing(upCluster)(cmd, args)
			}
			// The scripts keep others out themselves while they run.
			if err := machine.Script(cmd.Context(), cmd.OutOrStdout(), "provision.sh"); err != nil {
				return err
			}
			if role := os.Getenv("BOOKSTORE_ROLE"); role != "" && role != "both" {
				return nil // a machine of several: the jobs are deployed once, from one of them
			}
			if err := changing(upCluster)(cmd, args); err != nil {
				return err
			}
			welcome(speak(cmd))
			if machine.Warm() {
				// Seconds to the first order on a machine that had its tools and images already.
				speak(cmd).Linef("figure up_warm_s %.0f", time.Since(begin).Seconds())
			}
			return nil
		},
	}
	cmd.Flags().Bool("cluster", false, "bring up what is on the cluster alone: its machines have been set up, and this is one of them")
	cmd.Flags().Duration("within", nodeWithin, "how long its machines may take to be ready: longer where each still builds its programs")
	return cmd
}

func welcome(out console.Console) {
	out.Linef(`
  shop        %s         curl %s/books?q=dune
              %s        curl --cacert %s (a browser is told to trust that file)
  Nomad       https://127.0.0.1:4646/ui     jobs, allocations, logs (task token -- nomad)
  Consul      https://127.0.0.1:8501/ui     services, intentions (task token -- consul)
  Prometheus  http://127.0.0.1:9090         metrics, alerts
  Alertmanager http://127.0.0.1:9093        who is told of alerts; silences (user operator, task token -- alertmanager)
  data        go tool task db:psql -- bookdb
  next        go tool task status | logs -- books | token | down | reset`, firstorder.Shop, firstorder.Shop, firstorder.SecureShop, machine.CA)
}

// upCluster does on the cluster what up does: each stage does nothing where there is nothing to do.
func upCluster(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
	out := speak(cmd)
	files, err := jobs.Here(cmd.Context())
	if err != nil {
		return err
	}
	within, err := cmd.Flags().GetDuration("within")
	if err != nil {
		return err
	}
	var took []string
	for _, stage := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"shop", func(context.Context) error { return machine.Install("shop") }},
		{"access", func(ctx context.Context) error { return access(ctx, c, out, files.Root, within) }},
		{"scheduler", func(ctx context.Context) error { return provide.Scheduler(ctx, c) }},
		{"volumes", func(ctx context.Context) error {
			made, err := provide.Volumes(ctx, c, 0)
			sayIf(out, made > 0, "%d volumes made", made)
			return err
		}},
		{"secrets", func(ctx context.Context) error { return secrets(ctx, c, out, files) }},
		{"mesh", func(ctx context.Context) error { return provide.Mesh(ctx, c, filepath.Join(files.Root, "jobs/mesh")) }},
		{"jobs", func(ctx context.Context) error { return deployAll(ctx, c, out, files) }},
		{"lock", func(ctx context.Context) error { return machine.Script(ctx, out.Out, "60-consul.sh", "--lock") }},
		{"first order", func(ctx context.Context) error { return firstorder.Place(ctx, c, out, files.Root) }},
	} {
		out.Stagef("%s", stage.name)
		begin := time.Now()
		if err := stage.run(cmd.Context()); err != nil {
			return err
		}
		took = append(took, fmt.Sprintf("%-16s %6.1f s", stage.name, time.Since(begin).Seconds()))
	}
	out.Stagef("ready")
	for _, line := range took {
		out.Sayf("%s", line)
	}
	return nil
}

// deployAll deploys every job. In a shop whose Redis had one password for all, the nodes come first, and take users and that
// password; when all services are users, they take the password no more.
func deployAll(ctx context.Context, c *cluster.Cluster, out console.Console, files jobs.Files) error {
	former, err := redis.Former(ctx, c)
	if err != nil {
		return err
	}
	if former {
		if err := files.Deploy(ctx, c, out, "redis"); err != nil {
			return err
		}
	}
	if err := files.DeployAll(ctx, c, out); err != nil {
		return err
	}
	return redis.Close(ctx, c, out)
}

// secrets makes the secrets that are missing, and gives the S3 server and the door their certificates.
func secrets(ctx context.Context, c *cluster.Cluster, out console.Console, files jobs.Files) error {
	stored, err := provide.Secrets(ctx, c)
	sayIf(out, len(stored) > 0, "stored for %s", strings.Join(stored, ", "))
	if err != nil {
		return err
	}
	keys, err := provide.KeysHere()
	if err != nil {
		return err
	}
	made, err := provide.S3Certificate(ctx, c, keys.CA, keys.CAKey)
	sayIf(out, made, "a certificate for %s made", provide.S3Name)
	if err != nil {
		return err
	}
	if _, err := provide.WidenCertificate(ctx, c, keys); err != nil {
		return err
	}
	certified, err := files.Certified()
	if err == nil && !certified {
		err = provide.LeaveCertifier(ctx, c)
	}
	if err != nil {
		return err
	}
	renewed, err := provide.Certificate(ctx, c)
	sayIf(out, renewed, "the door has a new certificate")
	return err
}

// access gives out the policies of jobs/acl, then waits for the nodes: only who has a token can ask for them.
func access(ctx context.Context, c *cluster.Cluster, out console.Console, root string, within time.Duration) error {
	keys, err := provide.KeysHere()
	if err != nil {
		return err
	}
	if err := provide.Access(ctx, c, filepath.Join(root, "jobs/acl"), keys); err != nil {
		return err
	}
	nodes, err := machine.Nodes()
	if err != nil {
		return err
	}
	return provide.Nodes(ctx, c, out, nodes, within)
}

// nodeWithin is how long Nomad may take to have its nodes.
const nodeWithin = 90 * time.Second

func sayIf(out console.Console, so bool, format string, args ...any) {
	if so {
		out.Sayf(format, args...)
	}
}

func deploy() *cobra.Command {
	return &cobra.Command{
		Use:               "deploy [JOB…]",
		Short:             "Build what changed and replace it on the cluster, one instance at a time",
		ValidArgsFunction: jobNames,
		RunE: changing(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			ctx, out := cmd.Context(), speak(cmd)
			if err := c.Ready(ctx); err != nil {
				return err
			}
			out.Stagef("images")
			if err := machine.Script(ctx, out.Out, "40-images.sh"); err != nil {
				return err
			}
			files, err := jobs.Here(ctx)
			if err != nil {
				return err
			}
			out.Stagef("mesh")
			if err := provide.Mesh(ctx, c, filepath.Join(files.Root, "jobs/mesh")); err != nil {
				return err
			}
			out.Stagef("jobs")
			if len(args) == 0 {
				return files.DeployAll(ctx, c, out)
			}
			return files.Deploy(ctx, c, out, args...)
		}),
	}
}

func restart() *cobra.Command {
	return &cobra.Command{
		Use:               "restart [JOB…]",
		Short:             "Restart the services or other jobs, one instance at a time, without losing a request",
		ValidArgsFunction: jobNames,
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			if err := c.Ready(cmd.Context()); err != nil {
				return err
			}
			if len(args) == 0 {
				args = slices.Concat(provide.Services, []string{"gateway"})
			}
			for _, job := range args {
				speak(cmd).Stagef("restarting %s", job)
				if err := jobs.Restart(cmd.Context(), c, speak(cmd), job); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

func down() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop everything on this machine, in an order that leaves nothing behind; the data stays",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := changing(stopJobs)(cmd, args); err != nil {
				return err
			}
			var flags []string
			if reset, err := cmd.Flags().GetBool("reset"); err == nil && reset {
				flags = []string{"--reset"}
			}
			return machine.Script(cmd.Context(), cmd.OutOrStdout(), "down.sh", flags...)
		},
	}
	cmd.Flags().Bool("reset", false, "remove the data and the state of Consul and Nomad as well")
	return cmd
}

// stopJobs stops the jobs while Nomad is there to do it: without, it would leave containers and mounts behind.
func stopJobs(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
	if !machine.Alive("nomad") {
		return nil
	}
	out := speak(cmd)
	out.Stagef("stopping the jobs")
	if err := provide.Nodes(cmd.Context(), c, console.Console{Out: io.Discard}, 1, nodeWithin); err != nil {
		return err
	}
	return jobs.StopAll(cmd.Context(), c, out)
}
