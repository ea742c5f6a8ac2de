package command

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/provide"
)

func certificate() *cobra.Command {
	return &cobra.Command{
		Use:   "certificate CERTIFICATE KEY",
		Short: "Give the door another certificate, in place of the shop's own CA's: PEM files, the first with those that signed it",
		Args:  cobra.ExactArgs(2),
		RunE: changing(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			from, err := provide.Certifier(cmd.Context(), c)
			if err == nil && from != "" {
				err = fmt.Errorf("the door's certificate is from %s: run 'go tool task up' without domains in the variable acme first", from)
			}
			if err != nil {
				return err
			}
			var files [2][]byte
			for i, name := range args {
				text, err := os.ReadFile(name)
				if err != nil {
					return fmt.Errorf("the door's certificate: %w", err)
				}
				files[i] = text
			}
			if err := provide.ReplaceCertificate(files[0], files[1]); err != nil {
				return err
			}
			renewed, err := provide.Certificate(cmd.Context(), c)
			sayIf(speak(cmd), err == nil, "the door has %s", map[bool]string{true: "it", false: "it already"}[renewed])
			return err
		}),
	}
}
