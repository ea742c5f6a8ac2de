package provide

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
)

// Databases are the services that have one, and its name.
var Databases = map[string]string{"books": "bookdb", "orders": "orderdb", "payments": "paymentdb", "coordinator": "coordinatordb"}

// Services are those of Databases, in the order in which they are named to a reader.
var Services = []string{"books", "orders", "payments", "coordinator"}

// Tokens are those that the shop's API takes, each an item <name>_token of the gateway's variable.
var Tokens = []string{"operator", "import", "test", "bench"}

// Password is a new one, of 192 bits.
func Password() string {
	bits := make([]byte, 24)
	_, _ = rand.Read(bits) // it never fails
	return hex.EncodeToString(bits)
}

// item is one of a job's secrets: made up, unless it is another job's.
type item struct {
	key        string
	job, other string // the job, and the item of it, whose value this is
	value      string // a value that is known
	follows    bool   // it is changed with the other's value
}

// secrets are what each job's variable is to have: a job reads the one under its own name alone. The order is the one in
// which they are stored: those of others come later.
func secrets() (jobs []string, items map[string][]item) {
	made := func(keys ...string) (all []item) {
		for _, key := range keys {
			all = append(all, item{key: key})
		}
		return all
	}
	tokens := make([]string, len(Tokens))
	for i, name := range Tokens {
		tokens[i] = name + "_token"
	}
	logins := made("exporter_password", "warehouse_password")
	for _, service := range Services {
		// Two logins, of which one is used: db rotate goes from one to the other.
		logins = append(logins, made(Databases[service]+"_a_password", Databases[service]+"_b_password")...)
	}
	items = map[string][]item{
		"s3": made("access_key", "secret_key"),
		"patroni": append(made("replication_password", "rewind_password", "rest_password", "backup_key"),
			item{key: "backup_repository", value: "1"},
			item{key: "s3_access_key", job: "s3", other: "access_key", follows: true},
			item{key: "s3_secret_key", job: "s3", other: "secret_key", follows: true}),
		"redis":     made("gateway_password", "books_password", "cluster_password"),
		"migrate":   logins,
		"warehouse": {{key: "db_password", job: "migrate", other: "warehouse_password"}},
		"gateway": append(made(slices.Concat(tokens, []string{"consistency_a", "consistency_b"})...),
			item{key: "consistency_signs", value: "a"}, // of the two keys, both of which gateways know
			item{key: "cache_password", job: "redis", other: "gateway_password"}),
	}
	for service, database := range Databases {
		items[service] = []item{
			{key: "db_user", value: database + "_a"},
			{key: "db_password", job: "migrate", other: database + "_a_password"},
		}
	}
	items["books"] = append(items["books"], item{key: "cache_password", job: "redis", other: "books_password"})
	for _, job := range restoring {
		for _, key := range []string{"backup_key", "backup_repository", "s3_access_key", "s3_secret_key"} {
			items[job] = append(items[job], item{key: key, job: "patroni", other: key, follows: true})
		}
	}
	return slices.Concat([]string{"s3", "patroni"}, restoring, []string{"redis", "migrate"}, Services, []string{"warehouse", "gateway"}), items
}

// restoring are the jobs that read what the members back up.
var restoring = []string{"backup", "restore"}

// Secrets makes the passwords, keys and tokens that are missing, and returns the jobs that got any. None is changed but
// what follows another.
func Secrets(ctx context.Context, c *cluster.Cluster) (stored []string, err error) {
	jobs, items := secrets()
	for _, job := range jobs {
		values, follow := map[string]string{}, map[string]bool{}
		for _, i := range items[job] {
			follow[i.key] = i.follows
			switch {
			case i.value != "":
				values[i.key] = i.value
			case i.job == "":
				values[i.key] = Password()
			default:
				if values[i.key], err = c.Item(ctx, i.job, i.other); err != nil {
					return stored, err
				}
			}
		}
		changed, err := c.Change(ctx, job, func(has nomad.VariableItems) {
			for key, value := range values {
				if _, ok := has[key]; !ok || follow[key] {
					has[key] = value
				}
			}
		})
		if err != nil {
			return stored, err
		}
		if changed {
			stored = append(stored, job)
		}
	}
	return stored, nil
}
