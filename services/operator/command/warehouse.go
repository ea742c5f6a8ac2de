package command

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/jobs"
	"bookstore/services/operator/machine"
	"bookstore/services/operator/provide"
)

// warehouse is all that is about the warehouse: a version is made, or the published one answers.
func warehouse() *cobra.Command {
	cmd := &cobra.Command{Use: "warehouse", Short: "Make a version of the warehouse, or ask it"}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "run",
			Short: "Export all databases now, without waiting for the next five minutes",
			Args:  cobra.NoArgs,
			RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
				if err := c.Ready(cmd.Context()); err != nil {
					return err
				}
				run, err := jobs.Start(cmd.Context(), c, "warehouse")
				if err != nil {
					return err
				}
				return jobs.Finish(cmd.Context(), c, speak(cmd), run, time.Hour, "export")
			}),
		},
		answers("sql", "sql [STATEMENT]", "Ask in SQL; without a statement a shell"),
		answers("dictionary", "dictionary", "Say what is in it, table by table"),
		answers("report", "report NAME", "Answer a question; 'report list' shows them all"),
	)
	return cmd
}

// answers is a command of the warehouse's program that reads the published version.
func answers(name, use, short string) *cobra.Command {
	return &cobra.Command{
		Use:                use,
		Short:              short,
		DisableFlagParsing: true, // they are the program's
		RunE: func(cmd *cobra.Command, args []string) error {
			where, err := userDirectory()
			if err != nil {
				return err
			}
			if err := staysBelow(args); err != nil {
				return err
			}
			if err := machine.BecomeRoot(); err != nil { // the data is its users' alone
				return err
			}
			return onCluster(func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
				return query(cmd, c, where, append([]string{name}, args...))
			})(cmd, nil)
		},
	}
}

// userDirectory is where the user is: go-task, which runs in the repository, passes it on.
func userDirectory() (string, error) {
	if dir := os.Getenv("USER_WORKING_DIR"); dir != "" {
		return dir, nil
	}
	dir, err := os.Getwd()
	if err == nil {
		err = os.Setenv("USER_WORKING_DIR", dir) // sudo's start of this command is elsewhere
	}
	return dir, err
}

// staysBelow refuses to write outside the folder where the user is: such a file would be gone with the container.
func staysBelow(args []string) error {
	for i, word := range args {
		name, file, given := strings.Cut(word, "=")
		if name != "--out" && name != "-out" {
			continue
		}
		if !given {
			if i+1 == len(args) {
				break // the program says what is missing
			}
			file = args[i+1]
		}
		if !filepath.IsLocal(file) {
			return fmt.Errorf("--out is a file in the folder where you are, or below it, not %s", file)
		}
	}
	return nil
}

// query runs the warehouse's program on the published version. What it writes, it writes where the user is; it reaches
// nothing else, and no network.
func query(cmd *cobra.Command, c *cluster.Cluster, where string, args []string) error {
	data, host, err := provide.Warehouse(cmd.Context(), c)
	if err != nil {
		return err
	}
	if _, err := os.Stat(data); err != nil {
		return fmt.Errorf("the newest version of the warehouse is on %s, in %s: ask there", host, data)
	}
	tags, err := machine.Images(cmd.Context())
	if err != nil {
		return err
	}
	docker, err := exec.LookPath("docker")
	if err != nil {
		return errors.New("docker is not on the PATH: 'go tool task up' installs it")
	}
	run := []string{docker, "run", "--rm", "--interactive", "--network", "none", "--user", "0:0", "--memory", "600m",
		"--volume", data + ":/data:ro", "--volume", where + ":/work", "--workdir", "/work"}
	// A terminal on one end alone would change what a file or pipe on the other gets: its line ends.
	if term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) {
		run = append(run, "--tty")
	}
	run = append(append(run, "bookstore/warehouse:"+tags["warehouse"]), args...)
	return syscall.Exec(docker, run, os.Environ())
}
