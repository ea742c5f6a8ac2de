//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"
)

// victim is the main task of one allocation of the shop; each has its job's name.
type victim struct {
	nomad    *nomad.Client
	task     string
	id       string
	restarts uint64
}

func newVictim(t *testing.T, job, id string) *victim {
	t.Helper()
	v := &victim{nomad: nomadClient(t), task: job, id: id}
	state, err := v.state(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v.restarts = state.Restarts
	return v
}

func (v *victim) state(ctx context.Context) (*nomad.TaskState, error) {
	alloc, _, err := v.nomad.Allocations().Info(v.id, (&nomad.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	state := alloc.TaskStates[v.task]
	if state == nil {
		return nil, fmt.Errorf("allocation %s has no task %s", v.id, v.task)
	}
	return state, nil
}

// kill ends the task's container at once, as a crash would. Nomad names it.
func (v *victim) kill(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	name := v.task + "-" + v.id
	if out, err := exec.CommandContext(ctx, "docker", "kill", name).CombinedOutput(); err != nil {
		t.Fatalf("docker kill %s: %v\n%s", name, err, out)
	}
	t.Logf("killed %s", name)
}

// restarted is nil once Nomad runs the task anew.
func (v *victim) restarted(ctx context.Context) error {
	state, err := v.state(ctx)
	if err == nil && (state.Restarts == v.restarts || state.State != "running") {
		err = fmt.Errorf("task %s is %s after %d restarts", v.task, state.State, state.Restarts-v.restarts)
	}
	return err
}

func runningAllocations(t *testing.T, job string) (running []*nomad.AllocationListStub) {
	t.Helper()
	allocs, _, err := nomadClient(t).Jobs().Allocations(job, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range allocs {
		if a.ClientStatus == nomad.AllocClientStatusRunning {
			running = append(running, a)
		}
	}
	if len(running) == 0 {
		t.Fatalf("no allocation of %s is running", job)
	}
	return running
}

// shopIsWhole is nil when nothing is missing: two instances of every service, five members
// of PostgreSQL, six nodes of Redis, no open circuit. What costs least is asked first.
func shopIsWhole(ctx context.Context, t *testing.T) error {
	t.Helper()
	for _, service := range services {
		entries, err := healthy(ctx, t, service, "")
		if err != nil {
			return err
		}
		if len(entries) != 2 {
			return fmt.Errorf("%d instances of %s are healthy", len(entries), service)
		}
	}
	if err := patroniIsWhole(ctx, t); err != nil {
		return err
	}
	if err := redisIsWhole(ctx, t); err != nil {
		return err
	}
	// The mesh may shun an instance longer than that is unwell: the front must reach them all.
	a, err := shoptest.NewClient(t, "").Try(ctx, shoptest.Call{Method: "GET", Path: "/health"})
	if err != nil {
		return err
	}
	var health struct{ Status string }
	if err := json.Unmarshal(a.Body, &health); err != nil || health.Status != "ok" {
		return fmt.Errorf("the gateway's health is %v", a)
	}
	return circuitsAreClosed(ctx, t)
}

// circuitsAreClosed is nil when no gateway holds calls back from a service. A circuit whose
// time is over closes with the next call that is answered, so each look makes some.
func circuitsAreClosed(ctx context.Context, t *testing.T) error {
	t.Helper()
	all, err := measured(ctx, t, "gateway")
	if err != nil {
		return err
	}
	held := 0
	for _, s := range all {
		for _, destination := range []string{"books", "orders", "coordinator"} {
			if s.sum("circuit_state", fmt.Sprintf("destination=%q", destination)) != 0 {
				held++
			}
		}
	}
	if held == 0 {
		return nil
	}
	op := shoptest.NewClient(t, shoptest.Token(t, "BOOKSTORE_OPERATOR_TOKEN"))
	for _, path := range []string{"/books/1/availability", "/orders?customerId=nobody", "/transactions?limit=1"} {
		for range 2 * len(all) {
			if _, err := op.Try(ctx, shoptest.Call{Method: "GET", Path: path}); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("%d circuits are not closed", held)
}

// member is one of PostgreSQL's, as Patroni sees it.
type member struct {
	Name, Role, State string
	Timeline          int
}

// members asks the first member that answers for all.
func members(ctx context.Context, t *testing.T) ([]member, error) {
	t.Helper()
	entries, err := healthy(ctx, t, "patroni-rest", "")
	if err != nil {
		return nil, err
	}
	last := errors.New("no member is in Consul")
	for _, e := range entries {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+hostPort(e)+"/cluster", nil)
		if err != nil {
			return nil, err
		}
		res, err := (&http.Client{Timeout: 3 * time.Second}).Do(req)
		if err != nil {
			last = err
			continue
		}
		var cluster struct{ Members []member }
		err = json.NewDecoder(res.Body).Decode(&cluster)
		res.Body.Close()
		if err == nil {
			return cluster.Members, nil
		}
		last = err
	}
	return nil, last
}

func patroniIsWhole(ctx context.Context, t *testing.T) error {
	t.Helper()
	list, err := members(ctx, t)
	if err != nil {
		return err
	}
	leaders, streaming := 0, 0
	for _, m := range list {
		switch {
		case m.Timeline != list[0].Timeline:
		case m.Role == "leader" && m.State == "running":
			leaders++
		case m.State == "streaming":
			streaming++
		}
	}
	if leaders != 1 || streaming != 4 {
		return fmt.Errorf("%d leaders and %d streaming replicas: %+v", leaders, streaming, list)
	}
	entries, err := healthy(ctx, t, "patroni", "")
	if err == nil && len(entries) != 5 {
		err = fmt.Errorf("%d members of PostgreSQL are healthy in Consul", len(entries))
	}
	return err
}

func patroniLeader(t *testing.T, random *rand.Rand) string {
	t.Helper()
	return memberWith(t, random, func(role string) bool { return role == "leader" })
}

func patroniReplica(t *testing.T, random *rand.Rand) string {
	t.Helper()
	return memberWith(t, random, func(role string) bool { return role != "leader" })
}

// memberWith is the allocation of a member in a role.
func memberWith(t *testing.T, random *rand.Rand, suits func(role string) bool) string {
	t.Helper()
	list, err := members(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range list {
		if suits(m.Role) {
			names = append(names, m.Name)
		}
	}
	if len(names) == 0 {
		t.Fatalf("no member suits: %+v", list)
	}
	name := names[random.IntN(len(names))]
	for _, a := range runningAllocations(t, "patroni") {
		if "patroni-"+strconv.Itoa(index(a)) == name {
			return a.ID
		}
	}
	t.Fatalf("no allocation runs %s", name)
	return ""
}

// index is the number in an allocation's name: patroni.patroni[3].
func index(a *nomad.AllocationListStub) int {
	_, text, _ := strings.Cut(a.Name, "[")
	n, err := strconv.Atoi(strings.TrimSuffix(text, "]"))
	if err != nil {
		return -1
	}
	return n
}

func hostPort(e *consul.ServiceEntry) string {
	return net.JoinHostPort(address(e), strconv.Itoa(e.Service.Port))
}
