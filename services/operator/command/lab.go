package command

import (
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"bookstore/services/operator/lab"
	"bookstore/services/operator/machine"
	"bookstore/services/operator/provide"
)

func bundleCommand() *cobra.Command {
	var bundle provide.Bundle
	var keys string
	cmd := &cobra.Command{
		Use:   "bundle ADDRESS",
		Short: "Print, as a tar, the keys for another machine that joins this one: to be unpacked in its " + machine.Access,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if term.IsTerminal(int(os.Stdout.Fd())) {
				return errors.New("these are secrets, and a tar: send them to a file that only you may read, or to the machine (README.md in vagrant)")
			}
			if keys == machine.Access {
				if err := machine.BecomeRoot(); err != nil {
					return err
				}
			} else if err := provide.NewKeys(keys); err != nil {
				return err
			}
			bundle.Address = args[0]
			return bundle.Write(cmd.OutOrStdout(), keys)
		},
	}
	cmd.Flags().StringVar(&keys, "keys", machine.Access, "the folder with the shop's keys: those of this machine, or another, in which they are made if they are missing")
	cmd.Flags().BoolVar(&bundle.Operator, "operator", false, "with the operator's tokens, for a machine that is a server")
	cmd.Flags().BoolVar(&bundle.First, "first", false, "with these and the key of the CA, for the machine on which the jobs are deployed")
	return cmd
}

func booted() *cobra.Command {
	return &cobra.Command{
		Use:    "booted",
		Short:  "Have Nomad begin its allocations anew: systemd runs this at each boot, before Nomad",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return machine.Booted(cmd.Context()) },
	}
}

func labCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "lab", Short: "A lab of several machines in containers, beside what runs on this machine"}
	cmd.AddCommand(labUp(), labDown(), labStatus(), labShop())
	return cmd
}

// inLab is a command about the lab: as root.
func inLab(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := machine.BecomeRoot(); err != nil {
			return err
		}
		return run(cmd, args)
	}
}

func labUp() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring up the lab, or what is missing of it, to a first order",
		Args:  cobra.NoArgs,
		RunE: inLab(func(cmd *cobra.Command, _ []string) error {
			machines, err := cmd.Flags().GetInt("machines")
			if err != nil {
				return err
			}
			given, err := cmd.Flags().GetBool("given")
			if err != nil {
				return err
			}
			if !given {
				// Where everything is there this takes a few seconds.
				if err := machine.Script(cmd.Context(), cmd.OutOrStdout(), "40-images.sh"); err != nil {
					return err
				}
			}
			begin := time.Now()
			if err := (lab.Lab{Machines: machines, Out: speak(cmd)}).Up(cmd.Context()); err != nil {
				return err
			}
			speak(cmd).Linef("figure lab_up_s %.0f", time.Since(begin).Seconds())
			return nil
		}),
	}
	cmd.Flags().Int("machines", 3, "how many machines, 3 to 9")
	cmd.Flags().Bool("given", false, "take the images that were built last")
	return cmd
}

func labDown() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Remove the lab with all its data",
		Args:  cobra.NoArgs,
		RunE:  inLab(func(cmd *cobra.Command, _ []string) error { return lab.Down(cmd.Context()) }),
	}
}

func labStatus() *cobra.Command {
	return withJSON(&cobra.Command{
		Use:   "status",
		Short: "Show the lab's machines",
		Args:  cobra.NoArgs,
		RunE: inLab(func(cmd *cobra.Command, _ []string) error {
			all, err := lab.Machines(cmd.Context())
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return speak(cmd).JSON(all)
			}
			if len(all) == 0 {
				return lab.ErrNone
			}
			rows := [][]any{{"MACHINE", "ADDRESS", "STATE", "MEMORY"}}
			for _, m := range all {
				rows = append(rows, []any{m.Name, m.Address, m.State, lab.Memory(cmd.Context(), m)})
			}
			speak(cmd).Table(rows...)
			return nil
		}),
	})
}

func labShop() *cobra.Command {
	return &cobra.Command{
		Use:                "shop COMMAND…",
		Short:              "Run a command of this one on a machine of the lab: lab shop status",
		DisableFlagParsing: true,
		RunE: inLab(func(cmd *cobra.Command, args []string) error {
			shop, err := lab.Shop(cmd.Context(), term.IsTerminal(int(os.Stdin.Fd())), args...)
			if err != nil {
				return err
			}
			shop.Stdin, shop.Stdout, shop.Stderr = os.Stdin, cmd.OutOrStdout(), cmd.ErrOrStderr()
			return shop.Run()
		}),
	}
}
