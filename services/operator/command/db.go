package command

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/database"
	"bookstore/services/operator/provide"
)

// db is all that is about the databases.
func db() *cobra.Command {
	cmd := &cobra.Command{Use: "db", Short: "Look after the databases"}
	cmd.AddCommand(dbStatus(), dbSwitchover(), dbRotate(), dbPsql(), dbBackup(), dbRestore(), dbResume())
	return cmd
}

func dbStatus() *cobra.Command {
	return withJSON(&cobra.Command{
		Use:   "status",
		Short: "Show the members of the database: which one leads, which ones a commit waits for, how far behind each is",
		Args:  cobra.NoArgs,
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
			members, err := database.Members(cmd.Context(), c)
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				err = speak(cmd).JSON(members)
			} else {
				database.Show(speak(cmd), members)
			}
			if err == nil && !database.Led(members) {
				err = errors.New("no member leads: writes wait; 'go tool task logs -- patroni' says why")
			}
			return err
		}),
	})
}

func dbSwitchover() *cobra.Command {
	return &cobra.Command{
		Use:   "switchover [MEMBER]",
		Short: "Have another member lead: the one named, or any that has everything",
		Long: `Have another member lead: the one named, or any that has everything.

Writes wait for a second or two meanwhile.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: candidates,
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			return database.Switchover(cmd.Context(), c, speak(cmd), first(args))
		}),
	}
}

// first is the first argument, or nothing.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// candidates completes the name of a member that does not lead.
func candidates(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	c, err := cluster.Open()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	members, err := database.Members(cmd.Context(), c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	for _, m := range members {
		if !m.Leads() {
			names = append(names, m.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func dbRotate() *cobra.Command {
	return &cobra.Command{
		Use:   "rotate [SERVICE…]",
		Short: "Give services new database passwords while they serve; without a name all of them",
		Long: `Give services new database passwords while they serve; without a name all of them.

Each service has two logins, of which it uses one: the other gets a new password and takes over, and when nobody is in
with the first any more, that gets a new password too. Interrupted, it is simply run again.`,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			rest := slices.DeleteFunc(slices.Clone(provide.Services), func(name string) bool { return slices.Contains(args, name) })
			return rest, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = provide.Services
			}
			if err := database.Known(args); err != nil {
				return err
			}
			return changing(func(cmd *cobra.Command, c *cluster.Cluster, services []string) error {
				if err := c.Ready(cmd.Context()); err != nil {
					return err
				}
				return database.Rotate(cmd.Context(), c, speak(cmd), services)
			})(cmd, args)
		},
	}
}

func dbPsql() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "psql DATABASE [PSQL ARGUMENTS…]",
		Short: "Open psql on the leader, as the superuser",
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return databases(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: onCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			if len(args) == 0 {
				return errors.New("name a database (" + strings.Join(databases(), ", ") + "): 'go tool task db:psql -- bookdb'")
			}
			return database.Psql(cmd.Context(), c, args[0], args[1:]...)
		}),
	}
	cmd.Flags().SetInterspersed(false) // what follows the database is psql's
	return cmd
}

// databases are the services' ones, in the order of their services.
func databases() (names []string) {
	for _, service := range provide.Services {
		names = append(names, provide.Databases[service])
	}
	return names
}
