//go:build e2e && bench

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// startBare places the bare handler behind the ingress, for requests with the
// header X-Bench: bare. All of it is gone when the test ends.
func startBare(t *testing.T) {
	t.Helper()
	entries := cluster.Consul(t).ConfigEntries()
	set := func(entry consul.ConfigEntry) {
		t.Helper()
		if _, _, err := entries.Set(entry, nil); err != nil {
			t.Fatal(err)
		}
	}
	found, _, err := entries.Get(consul.ServiceRouter, "gateway", nil)
	if err != nil {
		t.Fatal(err)
	}
	router := found.(*consul.ServiceRouterConfigEntry)
	before := *router
	t.Cleanup(func() {
		if _, _, err := entries.Set(&before, nil); err != nil {
			t.Error(err)
		}
		if _, err := entries.Delete(consul.ServiceIntentions, "bare", nil); err != nil {
			t.Error(err)
		}
	})
	set(&consul.ServiceIntentionsConfigEntry{
		Kind: consul.ServiceIntentions, Name: "bare",
		Sources: []*consul.SourceIntention{{Name: "ingress", Action: consul.IntentionActionAllow}},
	})
	router.Routes = append([]consul.ServiceRoute{{
		Match: &consul.ServiceRouteMatch{HTTP: &consul.ServiceRouteHTTPMatch{
			PathPrefix: "/", Header: []consul.ServiceRouteHTTPMatchHeader{{Name: "x-bench", Exact: "bare"}},
		}},
		Destination: &consul.ServiceRouteDestination{Service: "bare"},
	}}, router.Routes...)
	set(router)

	buildImage(t, "bookstore/bare:bench", "./bare")
	runJob(t.Context(), t, "bare/bare.nomad.hcl")
	t.Cleanup(func() {
		if _, _, err := cluster.Nomad(t).Jobs().Deregister("bare", true, nil); err != nil {
			t.Error(err)
		}
	})
	cluster.WaitHealthy(t, 2, "bare")
	c := shoptest.NewClient(t, "")
	c.Check = nil // the bare handler is not in the document
	shoptest.Eventually(t, time.Minute, "the bare handler behind the ingress", func(ctx context.Context) error {
		a, err := c.Try(ctx, shoptest.Call{Method: "GET", Path: "/books/1", Header: map[string]string{"X-Bench": "bare"}})
		if err == nil && (a.Status != http.StatusOK || a.Header.Get("X-Request-Id") != "") {
			err = fmt.Errorf("got %v", a)
		}
		return err
	})
}

// imageArgs are the arguments for the image that the job runs now.
func imageArgs(ctx context.Context, t *testing.T, job string) []string {
	t.Helper()
	found, _, err := cluster.Nomad(t).Jobs().Info(job, (&nomad.QueryOptions{}).WithContext(ctx))
	if err != nil {
		t.Fatalf("look at job %s: %v", job, err)
	}
	image, _ := found.TaskGroups[0].Tasks[0].Config["image"].(string)
	_, version, _ := strings.Cut(image, ":")
	return []string{"-var", "version=" + version}
}

// runJob submits a job file and waits until it is deployed.
func runJob(ctx context.Context, t *testing.T, file string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	file, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(ctx, "/opt/bookstore/bin/nomad", append(append([]string{"job", "run", "-address=http://127.0.0.1:4646"}, args...), file)...)
	command.Dir = "../.."
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("run %s: %v\n%s", file, err, out)
	}
}
