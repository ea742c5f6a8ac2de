package command

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/redis"
)

// redisCommand is all that is about Redis.
func redisCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "redis", Short: "Look after the Redis cluster"}
	cmd.AddCommand(redisScale(), redisRotate())
	return cmd
}

func redisScale() *cobra.Command {
	return &cobra.Command{
		Use:       "scale COUNT",
		Short:     "Give the cluster so many nodes while it serves, half of them masters: " + strings.Join(redis.Sizes, ", "),
		ValidArgs: redis.Sizes,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(redis.Sizes, args[0]) {
				return errors.New("say how many nodes, " + strings.Join(redis.Sizes, ", ") + ": 'go tool task redis:scale -- 8'")
			}
			count, err := strconv.Atoi(args[0])
			if err != nil {
				return err
			}
			return changing(func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
				if err := c.Ready(cmd.Context()); err != nil {
					return err
				}
				return redis.Scale(cmd.Context(), c, speak(cmd), count)
			})(cmd, args)
		},
	}
}

func redisRotate() *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "Give every user of Redis a new password while all of them are at work",
		Args:  cobra.NoArgs,
		RunE: changing(func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
			return redis.Rotate(cmd.Context(), c, speak(cmd))
		}),
	}
}
