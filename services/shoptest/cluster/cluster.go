// Package cluster is the shop that runs on this machine, as tests and drills see it past the
// ingress: Nomad's allocations and their containers, Consul's services, the members of
// PostgreSQL, the nodes of Redis, the warehouse. It checks whether anything is missing, and
// whether what was acknowledged is kept. Like shoptest it imports none of the shop's code.
package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"
)

// Services are the shop's own, each with two instances.
var Services = []string{"books", "orders", "payments", "coordinator", "gateway"}

// Healthy are the instances of a service whose checks all pass.
func Healthy(ctx context.Context, t testing.TB, service, tag string) ([]*consul.ServiceEntry, error) {
	t.Helper()
	options := (&consul.QueryOptions{RequireConsistent: true}).WithContext(ctx)
	entries, _, err := Consul(t).Health().Service(service, tag, true, options)
	return entries, err
}

// Address is the host of an instance.
func Address(e *consul.ServiceEntry) string {
	if e.Service.Address != "" {
		return e.Service.Address
	}
	return e.Node.Address
}

// WaitHealthy polls until exactly n instances of every service are healthy.
func WaitHealthy(t testing.TB, n int, names ...string) {
	t.Helper()
	shoptest.Eventually(t, 2*time.Minute, fmt.Sprintf("%d healthy instances of %v", n, names), func(ctx context.Context) error {
		for _, name := range names {
			entries, err := Healthy(ctx, t, name, "")
			if err != nil {
				return err
			}
			if len(entries) != n {
				return fmt.Errorf("%s has %d", name, len(entries))
			}
		}
		return nil
	})
}

// HostPort is where an instance listens.
func HostPort(e *consul.ServiceEntry) string {
	return net.JoinHostPort(Address(e), strconv.Itoa(e.Service.Port))
}

// HealthAnswer is what an instance says of itself.
type HealthAnswer struct{ Status, Service string }

// Health asks an instance how it is, and what it depends on.
func Health(ctx context.Context, e *consul.ServiceEntry) (h HealthAnswer, err error) {
	return h, get(ctx, "http://"+e.Service.Meta["status"]+"/health", &h)
}

// Allocations are those of a job that run and are to go on.
func Allocations(ctx context.Context, t testing.TB, job string) (running []*nomad.AllocationListStub, err error) {
	t.Helper()
	all, _, err := Nomad(t).Jobs().Allocations(job, false, (&nomad.QueryOptions{}).WithContext(ctx))
	for _, a := range all {
		if a.ClientStatus == nomad.AllocClientStatusRunning && a.DesiredStatus == nomad.AllocDesiredStatusRun {
			running = append(running, a)
		}
	}
	return running, err
}

// Running are the allocations of a job of which some have to run.
func Running(t testing.TB, job string) []*nomad.AllocationListStub {
	t.Helper()
	running, err := Allocations(t.Context(), t, job)
	if err != nil || len(running) == 0 {
		t.Fatalf("no allocation of %s is running: %v", job, err)
	}
	return running
}

// allocationIndex is the number in an allocation's name: patroni.patroni[3].
func allocationIndex(a *nomad.AllocationListStub) int {
	_, text, _ := strings.Cut(a.Name, "[")
	n, err := strconv.Atoi(strings.TrimSuffix(text, "]"))
	if err != nil {
		return -1
	}
	return n
}

// get decodes what an address answers; another status than 200 is an error.
func get(ctx context.Context, url string, into any) error {
	return getBy(ctx, http.DefaultClient, url, into)
}

// getPatience bounds an answer.
const getPatience = 3 * time.Second

// getBy is get with a client whose requests end with their contexts.
func getBy(ctx context.Context, client *http.Client, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, getPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// WaitDeployed polls until a job's newest deployment is over: Nomad scales no job during one.
func WaitDeployed(t *testing.T, job string) {
	t.Helper()
	client := Nomad(t)
	shoptest.Eventually(t, 2*time.Minute, "deployment of "+job, func(ctx context.Context) error {
		d, _, err := client.Jobs().LatestDeployment(job, (&nomad.QueryOptions{}).WithContext(ctx))
		if err != nil {
			return err
		}
		if d != nil && d.Status != nomad.DeploymentStatusSuccessful {
			return fmt.Errorf("it is %s: %s", d.Status, d.StatusDescription)
		}
		return nil
	})
}

// WaitRunning polls until exactly n allocations of a job are left running.
func WaitRunning(t *testing.T, job string, n int) {
	t.Helper()
	client := Nomad(t)
	shoptest.Eventually(t, 2*time.Minute, fmt.Sprintf("%d running allocations of %s", n, job), func(ctx context.Context) error {
		allocs, _, err := client.Jobs().Allocations(job, false, (&nomad.QueryOptions{}).WithContext(ctx))
		if err != nil {
			return err
		}
		running := 0
		for _, a := range allocs {
			if a.ClientStatus == nomad.AllocClientStatusRunning {
				running++
			}
		}
		if running != n {
			return fmt.Errorf("%d are running", running)
		}
		return nil
	})
}
