//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// Even with the operator's token no job gets rights on the machine: Nomad starts no container that asks for them.
func TestAttackSubmitAJobWithRights(t *testing.T) {
	for name, attack := range map[string]struct {
		driver string
		config map[string]any
		says   string // part of why it does not run
	}{
		"privileged":     {"docker", map[string]any{"privileged": true}, "privileged"},
		"mount-the-root": {"docker", map[string]any{"volumes": []string{"/:/host"}}, "volumes are not enabled"},
		"capability":     {"docker", map[string]any{"cap_add": []string{"sys_admin"}}, "capabilities"},
		"raw-exec":       {"raw_exec", map[string]any{"command": "/bin/true"}, "missing drivers"},
		"exec":           {"exec", map[string]any{"command": "/bin/true"}, "missing drivers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if attack.driver == "docker" {
				attack.config["image"] = "bookstore/pause:0.1.0"
			}
			id := "attack-" + name
			job := nomad.NewBatchJob(id, id, "global", 50).AddDatacenter("dc1").AddTaskGroup(
				nomad.NewTaskGroup(id, 1).AddTask(&nomad.Task{Name: id, Driver: attack.driver, Config: attack.config}))
			never := 0
			job.TaskGroups[0].RestartPolicy = &nomad.RestartPolicy{Attempts: &never}
			job.TaskGroups[0].ReschedulePolicy = &nomad.ReschedulePolicy{Attempts: &never}
			api := cluster.Nomad(t).Jobs()
			t.Cleanup(func() {
				if _, _, err := api.Deregister(id, true, nil); err != nil {
					t.Error(err)
				}
			})
			if _, _, err := api.Register(job, nil); err != nil {
				t.Fatal(err)
			}
			err := shoptest.Poll(t.Context(), time.Minute, func(context.Context) error {
				why, err := refusal(t, id)
				if err == nil && !strings.Contains(why, attack.says) {
					err = fmt.Errorf("not refused yet: %s", why)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// refusal is why a job has not run: what its tasks met, and what its node lacks. It is an error that one runs.
func refusal(t *testing.T, job string) (string, error) {
	t.Helper()
	allocations, _, err := cluster.Nomad(t).Jobs().Allocations(job, true, nil)
	if err != nil {
		return "", err
	}
	var why strings.Builder
	for _, a := range allocations {
		for _, state := range a.TaskStates {
			if !state.StartedAt.IsZero() {
				t.Fatalf("%s has run", job)
			}
			for _, event := range state.Events {
				why.WriteString(event.DisplayMessage + "\n")
			}
		}
	}
	evaluations, _, err := cluster.Nomad(t).Jobs().Evaluations(job, nil)
	for _, e := range evaluations {
		for _, failed := range e.FailedTGAllocs {
			fmt.Fprintln(&why, failed.ConstraintFiltered)
		}
	}
	return why.String(), err
}

// Agents gossip encrypted, and answer nobody who does not.
func TestAttackGossipInClear(t *testing.T) {
	consul, err := cluster.Consul(t).Agent().Self()
	if err != nil {
		t.Fatal(err)
	}
	nomad, err := cluster.Nomad(t).Agent().Self()
	if err != nil {
		t.Fatal(err)
	}
	if lan, _ := consul["Stats"]["serf_lan"].(map[string]any); lan["encrypted"] != "true" {
		t.Errorf("Consul's gossip: %v", lan)
	}
	if serf, _ := nomad.Stats["serf"]; serf["encrypted"] != "true" {
		t.Errorf("Nomad's gossip: %v", serf)
	}
	address, _ := consul["Member"]["Addr"].(string)
	const ping = "\x00\x82\xa5SeqNo\x01\xa4Node\xa0" // memberlist's ping, which every node answers that takes it
	for agent, port := range map[string]string{"Consul": "8301", "Nomad": "4648"} {
		conn, err := net.Dial("udp", net.JoinHostPort(address, port))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(ping)); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 256)
		if n, err := conn.Read(answer); err == nil {
			t.Errorf("%s answers a ping in clear: %q", agent, answer[:n])
		}
	}
}
