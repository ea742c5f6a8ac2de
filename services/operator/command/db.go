package command

import "github.com/spf13/cobra"

// db is all that is about the databases.
func db() *cobra.Command {
	cmd := &cobra.Command{Use: "db", Short: "Look after the databases"}
	cmd.AddCommand(dbBackup(), dbRestore(), dbResume())
	return cmd
}
