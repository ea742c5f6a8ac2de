package command

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"bookstore/services/operator/lab"
	"bookstore/services/operator/machine"
	"bookstore/services/operator/provide"
)

func bundleCommand() *cobra.Command {
	var bundle provide.Bundle
	var keys, file string
	cmd := &cobra.Command{
		Use:   "bundle ADDRESS",
		Short: "Print, as a tar, the keys for another machine that joins this one: to be unpacked in its " + machine.Access,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(file); err == nil {
				return nil
			}
			if file == "" && term.IsTerminal(int(os.Stdout.Fd())) {
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
			if file == "" {
				return bundle.Write(cmd.OutOrStdout(), keys)
			}
			var text bytes.Buffer
			if err := bundle.Write(&text, keys); err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				return err
			}
			return machine.KeepSecret(file, text.Bytes())
		},
	}
	cmd.Flags().StringVar(&keys, "keys", machine.Access, "the folder with the shop's keys: those of this machine, or another, in which they are made if they are missing")
	cmd.Flags().StringVar(&file, "out", "", "a file for them that you alone may read; one that is there stays as it is")
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
	cmd.AddCommand(labUp(), labDown(), labStatus(), labShop(), labFill(), labRemove())
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
			if err := lab.Images(cmd.Context(), cmd.OutOrStdout(), given); err != nil {
				return err
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

// labFill and labRemove are what the Vagrantfile runs before a machine is made and after it is gone.
func labFill() *cobra.Command {
	var publicKey string
	cmd := &cobra.Command{
		Use:    "fill MACHINE",
		Short:  "Make what a machine in a container is made of: its folder with images, for Vagrant to start it on",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: inLab(func(cmd *cobra.Command, args []string) error {
			root, err := machine.Root()
			if err != nil {
				return err
			}
			return lab.Vagrant.Fill(cmd.Context(), speak(cmd), root, args[0], publicKey)
		}),
	}
	cmd.Flags().StringVar(&publicKey, "key", "", "a file with the public key of who may be root there by ssh")
	return cmd
}

func labRemove() *cobra.Command {
	return &cobra.Command{
		Use:    "remove MACHINE",
		Short:  "Remove the folder of a machine of Vagrant's that is gone",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE:   inLab(func(cmd *cobra.Command, args []string) error { return lab.Vagrant.Remove(cmd.Context(), args[0]) }),
	}
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
