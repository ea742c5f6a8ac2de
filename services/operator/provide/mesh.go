package provide

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	consul "github.com/hashicorp/consul/api"
	"github.com/hashicorp/hcl"

	"bookstore/services/operator/cluster"
)

// Mesh gives Consul the config entries in dir (jobs/mesh). It comes before the jobs: entries reach sidecars seconds late.
func Mesh(ctx context.Context, c *cluster.Cluster, dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.hcl"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("there is no config entry in %s", dir)
	}
	for _, file := range files {
		entry, err := Entry(file)
		if err != nil {
			return fmt.Errorf("read a config entry: %w", err)
		}
		if _, _, err := c.Consul.ConfigEntries().Set(entry, cluster.ConsulWrite(ctx)); err != nil {
			return fmt.Errorf("Consul refused %s: %w", file, err) //nolint:staticcheck // a name
		}
	}
	return nil
}

// Entry reads a config entry as `consul config write` does.
func Entry(file string) (consul.ConfigEntry, error) {
	raw, err := attributes(file)
	if err != nil {
		return nil, err
	}
	return consul.DecodeConfigEntry(raw)
}

// attributes reads a file of HCL that has attributes alone.
func attributes(file string) (map[string]any, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var raw map[string]any
	if err := hcl.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for key, value := range raw {
		raw[key] = unwrap(value)
	}
	return raw, nil
}

// unwrap undoes what HCL makes of an object: a list of that one object.
func unwrap(value any) any {
	switch v := value.(type) {
	case []map[string]any:
		if len(v) == 1 {
			return unwrap(v[0])
		}
	case map[string]any:
		for key := range v {
			v[key] = unwrap(v[key])
		}
	case []any:
		for i := range v {
			v[i] = unwrap(v[i])
		}
	}
	return value
}
