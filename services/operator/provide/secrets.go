package provide

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machine"
)

// Databases are the services that have one, and its name.
var Databases = map[string]string{"books": "bookdb", "orders": "orderdb", "payments": "paymentdb", "coordinator": "coordinatordb"}

// Services are those of Databases, in the order in which they are named to a reader.
var Services = []string{"books", "orders", "payments", "coordinator"}

// Tokens are those that the shop's API takes, each an item <name>_token of the gateway's variable (jobs/secrets.hcl).
var Tokens = []string{"operator", "import", "test", "bench"}

// Password is a new one, of 192 bits.
func Password() string {
	bits := make([]byte, 24)
	_, _ = rand.Read(bits) // it never fails
	return hex.EncodeToString(bits)
}

// item is one of a job's secrets: made up, unless it is known or another job's.
type item struct {
	Value   string `json:"value"`   // that is known
	From    string `json:"from"`    // "job.key", whose value this is
	Follows bool   `json:"follows"` // it is changed with the other's value
}

// source are the job and the key that an item is from, or nothing.
func (i item) source() (job, key string) {
	job, key, _ = strings.Cut(i.From, ".")
	return job, key
}

// readSecrets reads what each job's variable is to have (jobs/secrets.hcl); a job reads the one under its own name alone. The
// order is the one in which they are stored: those that are from others come later.
func readSecrets(file string) (order []string, items map[string]map[string]item, err error) {
	raw, err := attributes(file)
	if err != nil {
		return nil, nil, err
	}
	text, err := json.Marshal(raw)
	if err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(text, &items); err != nil {
		return nil, nil, err
	}
	ready := func(job string) bool {
		for _, i := range items[job] {
			if from, _ := i.source(); from != "" && !slices.Contains(order, from) {
				return false
			}
		}
		return true
	}
	for len(order) < len(items) {
		before := len(order)
		for _, job := range slices.Sorted(maps.Keys(items)) {
			if !slices.Contains(order, job) && ready(job) {
				order = append(order, job)
			}
		}
		if len(order) == before {
			return nil, nil, fmt.Errorf("%s: what is from another job is from one that has no variable, or in a circle", file)
		}
	}
	return order, items, nil
}

// Secrets makes the passwords, keys and tokens of jobs/secrets.hcl that are missing, and returns the jobs that got any. None is
// changed but what follows another.
func Secrets(ctx context.Context, c *cluster.Cluster) (stored []string, err error) {
	root, err := machine.Root()
	if err != nil {
		return nil, err
	}
	order, items, err := readSecrets(filepath.Join(root, "jobs/secrets.hcl"))
	if err != nil {
		return nil, err
	}
	for _, job := range order {
		values := map[string]string{}
		for key, i := range items[job] {
			switch from, other := i.source(); {
			case i.Value != "":
				values[key] = i.Value
			case from == "":
				values[key] = Password()
			default:
				if values[key], err = c.Item(ctx, from, other); err != nil {
					return stored, err
				}
			}
		}
		changed, err := c.Change(ctx, job, func(has nomad.VariableItems) {
			for key, value := range values {
				if _, ok := has[key]; !ok || items[job][key].Follows {
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
