package provide_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machine"
	"bookstore/services/operator/operatortest"
	"bookstore/services/operator/provide"
)

func TestProvide(t *testing.T) {
	t.Parallel()
	c := operatortest.Start(t)
	t.Run("variables", func(t *testing.T) { // one after the other: some write the same
		t.Parallel()
		t.Run("secrets", func(t *testing.T) { secrets(t, c) })
		t.Run("certificate", func(t *testing.T) { certificate(t, c) })
		t.Run("a directory's certificate", func(t *testing.T) { certified(t, c) })
	})
	t.Run("mesh", func(t *testing.T) { t.Parallel(); mesh(t, c) })
	t.Run("scheduler", func(t *testing.T) {
		t.Parallel()
		for range 2 {
			if err := provide.Scheduler(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			is, _, err := c.Nomad.Operator().SchedulerGetConfiguration(nil)
			if err != nil || is.SchedulerConfig.SchedulerAlgorithm != nomad.SchedulerAlgorithmSpread || !is.SchedulerConfig.PreemptionConfig.SystemSchedulerEnabled {
				t.Errorf("%+v, %v", is.SchedulerConfig, err)
			}
		}
	})
	t.Run("volumes", func(t *testing.T) {
		t.Parallel()
		if made, err := provide.Volumes(t.Context(), c, 0); err == nil || made != 0 {
			t.Errorf("without a node %d volumes were made: %v", made, err)
		}
		if n, err := provide.RedisNodes(t.Context(), c); err != nil || n != 6 {
			t.Errorf("%d nodes of Redis at first, %v", n, err)
		}
		pair := &consul.KVPair{Key: "redis/count", Value: []byte("8")}
		if _, err := c.Consul.KV().Put(pair, nil); err != nil {
			t.Fatal(err)
		}
		if n, err := provide.RedisNodes(t.Context(), c); err != nil || n != 8 {
			t.Errorf("%d nodes of Redis after it was given 8, %v", n, err)
		}
	})
}

// A certificate of an ACME directory stays until the shop has left the directory.
func certified(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	const directory = "https://acme.example.com/directory"
	if _, err := c.Change(t.Context(), "acme", func(has nomad.VariableItems) { has["directory"], has["account_key"] = directory, "key" }); err != nil {
		t.Fatal(err)
	}
	if from, err := provide.Certifier(t.Context(), c); err != nil || from != directory {
		t.Errorf("the certificate is from %q, %v", from, err)
	}
	if changed, err := provide.Certificate(t.Context(), c); err != nil || changed {
		t.Errorf("a directory's certificate was changed: %t, %v", changed, err)
	}
	for range 2 {
		if err := provide.LeaveCertifier(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if items, err := c.Items(t.Context(), "acme"); err != nil || items["directory"] != "" || items["account_key"] != "key" {
		t.Errorf("after it was left: %v, %v", items, err)
	}
}

// What a job needs of another's secrets it has; what is missing is made, and nothing that is there is changed.
func secrets(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	get := func(job, key string) string {
		t.Helper()
		value, err := c.Item(t.Context(), job, key)
		if err != nil || value == "" {
			t.Errorf("%s of %s: %q, %v", key, job, value, err)
		}
		return value
	}
	stored, err := provide.Secrets(t.Context(), c)
	if err != nil || len(stored) != 14 {
		t.Fatalf("stored for %v, %v", stored, err)
	}
	for _, same := range [][4]string{
		{"books", "db_password", "migrate", "bookdb_a_password"},
		{"warehouse", "db_password", "migrate", "warehouse_password"},
		{"books", "cache_password", "redis", "books_password"},
		{"gateway", "cache_password", "redis", "gateway_password"},
		{"patroni", "s3_secret_key", "s3", "secret_key"},
		{"backup", "s3_secret_key", "s3", "secret_key"},
		{"restore", "backup_key", "patroni", "backup_key"},
		{"prometheus", "alertmanager_password", "alertmanager", "password"},
	} {
		if get(same[0], same[1]) != get(same[2], same[3]) {
			t.Errorf("%q are not the same", same)
		}
	}
	if user := get("orders", "db_user"); user != "orderdb_a" {
		t.Errorf("orders logs in as %s", user)
	}
	if a, b := get("migrate", "bookdb_a_password"), get("migrate", "bookdb_b_password"); a == b || len(a) != 48 {
		t.Errorf("passwords of two logins: %s and %s", a, b)
	}

	token := get("gateway", "operator_token")
	if _, err := c.Change(t.Context(), "gateway", func(items nomad.VariableItems) { delete(items, "bench_token") }); err != nil {
		t.Fatal(err)
	}
	if stored, err := provide.Secrets(t.Context(), c); err != nil || len(stored) != 1 || stored[0] != "gateway" {
		t.Errorf("after a token was lost, stored for %v, %v", stored, err)
	}
	if get("gateway", "operator_token") != token || get("gateway", "bench_token") == "" {
		t.Error("the tokens are others")
	}
	// Another S3, whose keys somebody else made.
	if _, err := c.Change(t.Context(), "s3", func(items nomad.VariableItems) { items["secret_key"] = "theirs" }); err != nil {
		t.Fatal(err)
	}
	if stored, err := provide.Secrets(t.Context(), c); err != nil || len(stored) != 3 || get("restore", "s3_secret_key") != "theirs" {
		t.Errorf("after the keys of S3 were changed, stored for %v, %v", stored, err)
	}
	if stored, err := provide.Secrets(t.Context(), c); err != nil || len(stored) != 0 {
		t.Errorf("with nothing missing, stored for %v, %v", stored, err)
	}
}

// A certificate stays until it is old, or the CA another.
func certificate(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	ca, key, err := provide.NewCA("the shop's", 1000*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	made := func(ca, key string) bool {
		t.Helper()
		made, err := provide.S3Certificate(t.Context(), c, ca, key)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	if _, err := provide.S3Certificate(t.Context(), c, ca, ""); err == nil || !strings.Contains(err.Error(), "the key of the CA is not on this machine") {
		t.Errorf("without the CA's key: %v", err)
	}
	if !made(ca, key) || made(ca, key) || made(ca, "") {
		t.Error("one certificate is made, and stays")
	}
	old, oldKey, err := provide.ServerCertificate(ca, key, provide.S3Name, 29*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Change(t.Context(), "s3", func(items nomad.VariableItems) { items["certificate"], items["private_key"] = old, oldKey }); err != nil {
		t.Fatal(err)
	}
	if !made(ca, key) {
		t.Error("a certificate with less than a month left stays")
	}
	other, otherKey, err := provide.NewCA("another", 1000*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if !made(other, otherKey) {
		t.Error("a certificate of another CA stays")
	}
}

// Consul takes every entry of jobs/mesh, as often as it is given.
func mesh(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	root, err := machine.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "jobs/mesh")
	for range 2 {
		if err := provide.Mesh(t.Context(), c, dir); err != nil {
			t.Fatal(err)
		}
	}
	entry, _, err := c.Consul.ConfigEntries().Get(consul.ServiceIntentions, "books", nil)
	if intentions, ok := entry.(*consul.ServiceIntentionsConfigEntry); err != nil || !ok || len(intentions.Sources) == 0 {
		t.Errorf("the intentions of books: %v, %v", entry, err)
	}
	if err := provide.Mesh(t.Context(), c, t.TempDir()); err == nil {
		t.Error("a folder without entries is no error")
	}
	wrong := t.TempDir()
	if err := os.WriteFile(filepath.Join(wrong, "x.hcl"), []byte(`Kind = "nix"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := provide.Mesh(t.Context(), c, wrong); err == nil {
		t.Error("an entry of no kind is no error")
	}
}
