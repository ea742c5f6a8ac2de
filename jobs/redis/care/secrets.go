package care

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// user is who the nodes are to each other, and redis-care to its server.
const user = "cluster"

// The files that the job renders, and renders again when something rotates.
func (c Config) caFile() string       { return filepath.Join(c.Secrets, "tls/ca.pem") }
func (c Config) leafFile() string     { return filepath.Join(c.Secrets, "tls/leaf.pem") } // with its key
func (c Config) usersFile() string    { return filepath.Join(c.Secrets, "redis/users.acl") }
func (c Config) peerFile() string     { return filepath.Join(c.Secrets, "redis/peer.conf") }
func (c Config) passwordFile() string { return filepath.Join(c.Secrets, "redis/password") }

func (c Config) password() (string, error) {
	content, err := os.ReadFile(c.passwordFile())
	return strings.TrimSpace(string(content)), err
}

// Reload has the server read its certificate, key, CA, users and settings towards peers again; connections that are open
// stay open. A server that has not started yet will read them anyway.
func (n *Node) Reload(ctx context.Context) error {
	if _, err := os.Stat(n.Socket); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	peer, err := os.ReadFile(n.peerFile())
	if err != nil {
		return err
	}
	settings := []any{"config", "set", "tls-cert-file", n.leafFile(), "tls-key-file", n.leafFile(), "tls-ca-cert-file", n.caFile()}
	for word := range strings.FieldsSeq(string(peer)) {
		settings = append(settings, word)
	}
	if err := n.do(ctx, settings...); err != nil {
		return fmt.Errorf("set certificates and peer settings: %w", err)
	}
	return n.setUsers(ctx)
}

// setUsers gives the server the users of the file, one by one: ACL LOAD would end the connections of all.
func (n *Node) setUsers(ctx context.Context) error {
	file, err := os.ReadFile(n.usersFile())
	if err != nil {
		return err
	}
	stay := []string{"default"} // which cannot be removed
	for line := range strings.Lines(string(file)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "user" {
			continue
		}
		command := []any{"acl", "setuser"}
		for _, word := range words[1:] {
			command = append(command, word)
		}
		if err := n.do(ctx, command...); err != nil {
			return fmt.Errorf("set the user %s: %w", words[1], err)
		}
		stay = append(stay, words[1])
	}
	if !slices.Contains(stay, user) {
		return fmt.Errorf("%s has no user %s", n.usersFile(), user)
	}
	within, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	there, err := n.redis.ACLUsers(within).Result()
	if err != nil {
		return fmt.Errorf("list the users: %w", err)
	}
	for _, name := range there {
		if slices.Contains(stay, name) {
			continue
		}
		if err := n.redis.ACLDelUser(within, name).Err(); err != nil {
			return fmt.Errorf("remove the user %s: %w", name, err)
		}
	}
	return nil
}

// Users returns what the server goes by now: a line for each user, as ACL LIST has it, with the hashes of the passwords,
// and whether clients need a certificate.
func (n *Node) Users(ctx context.Context) (string, error) {
	users, err := n.redis.ACLList(ctx).Result()
	if err != nil {
		return "", fmt.Errorf("list the users: %w", err)
	}
	const setting = "tls-auth-clients"
	values, err := n.redis.ConfigGet(ctx, setting).Result()
	if err != nil {
		return "", fmt.Errorf("read %s: %w", setting, err)
	}
	return strings.Join(append(users, setting+" "+values[setting]), "\n") + "\n", nil
}

// Empty drops all that the node keeps for clients. A replica is emptied by its master.
func (n *Node) Empty(ctx context.Context) error {
	err := n.do(ctx, "flushall")
	if goredis.IsReadOnlyError(err) {
		return nil
	}
	return err
}

// refusal is a kind of command or login that the server refused.
type refusal struct{ reason, user, object string }

// mostRefusals is how many kinds the server's own log has at most (acllog-max-len).
const mostRefusals = 128

// kindOf cuts what a stranger chooses: names of users and keys may be long.
func kindOf(e *goredis.ACLLogEntry) refusal {
	const most = 64
	return refusal{e.Reason, e.Username[:min(len(e.Username), most)], e.Object[:min(len(e.Object), most)]}
}

// reportRefused logs what the server has refused since the last call. The server's own log does not have it.
func (n *Node) reportRefused(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	entries, err := n.redis.ACLLog(within, mostRefusals).Result()
	if err != nil {
		return // the server is about to start or to end
	}
	now := map[refusal]int64{}
	for _, e := range entries {
		now[kindOf(e)] += e.Count
	}
	for _, e := range entries {
		kind := kindOf(e)
		if times := now[kind] - n.refused[kind]; times > 0 {
			n.refused[kind] = now[kind]
			n.Log.WarnContext(ctx, "refused", "reason", kind.reason, "user", kind.user, "object", kind.object, "times", times, "client", e.ClientInfo.Addr)
		}
	}
	n.refused = now
}
