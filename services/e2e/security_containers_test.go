//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bookstore/services/shoptest/cluster"
)

// inspected is what Docker says of a container, as far as it is checked here.
type inspected struct {
	Name   string
	Config struct {
		User  string
		Image string
	}
	AppArmorProfile string
	Mounts          []struct{ Type, Source, Destination, Propagation string }
	HostConfig      struct {
		Binds                                  []string
		CapAdd, CapDrop, SecurityOpt           []string
		Privileged, ReadonlyRootfs             bool
		NetworkMode, PidMode, IpcMode, UTSMode string
		UsernsMode                             string
		PidsLimit, Memory, CPUShares           int64
		Devices                                []any
		PortBindings                           map[string][]struct{ HostIP, HostPort string }
		RestartPolicy                          struct {
			Name              string
			MaximumRetryCount int
		}
	}
}

// onHost are the tasks on the machine's network; jobs/README.md says why of each.
var onHost = []string{"patroni", "fence", "redis", "prometheus", "agents", "acme", "alertmanager"}

// cis are the checks of the CIS Docker Benchmark 1.6, chapter 5, that the settings of a container answer, and 4.1 of its
// image. 5.1 (AppArmor) is the kernel's: where there is none, the container's own limits stand alone.
var cis = map[string]func(c inspected) bool{
	"4.1 it does not run as root": func(c inspected) bool {
		user, _, _ := strings.Cut(c.Config.User, ":")
		return user != "" && user != "root" && user != "0"
	},
	"5.3 it has no kernel capability": func(c inspected) bool {
		return len(c.HostConfig.CapAdd) == 0 && slices.ContainsFunc(c.HostConfig.CapDrop, func(s string) bool { return strings.EqualFold(s, "all") })
	},
	"5.4 it is not privileged":                func(c inspected) bool { return !c.HostConfig.Privileged },
	"5.5 it mounts no folder of the system's": mountsOwnAlone,
	"5.7 it binds no privileged port": func(c inspected) bool {
		return everyBinding(c, func(_ string, port int) bool { return port >= 1024 })
	},
	"5.9 it is not on the machine's network": func(c inspected) bool {
		return c.HostConfig.NetworkMode != "host" || slices.Contains(onHost, taskOf(c))
	},
	"5.10 its memory has a limit":       func(c inspected) bool { return c.HostConfig.Memory > 0 },
	"5.11 it has a share of processors": func(c inspected) bool { return c.HostConfig.CPUShares > 0 },
	"5.12 its root is read-only":        func(c inspected) bool { return c.HostConfig.ReadonlyRootfs },
	"5.13 it binds ports of one address": func(c inspected) bool {
		return everyBinding(c, func(address string, _ int) bool { return address != "" && address != "0.0.0.0" && address != "::" })
	},
	"5.14 Docker does not start it again for ever": func(c inspected) bool {
		policy := c.HostConfig.RestartPolicy
		return policy.Name == "" || policy.Name == "no" || policy.Name == "on-failure" && policy.MaximumRetryCount <= 5
	},
	"5.15 it sees its own processes alone":        func(c inspected) bool { return c.HostConfig.PidMode == "" },
	"5.16 it shares no memory with the machine":   func(c inspected) bool { return c.HostConfig.IpcMode != "host" },
	"5.17 it has no device of the machine's":      func(c inspected) bool { return len(c.HostConfig.Devices) == 0 },
	"5.19 no mount of its own reaches others":     mountsStay,
	"5.20 it does not share the machine's name":   func(c inspected) bool { return c.HostConfig.UTSMode != "host" },
	"5.21 its system calls are filtered":          func(c inspected) bool { return !slices.Contains(c.HostConfig.SecurityOpt, "seccomp=unconfined") },
	"5.25 no program in it gains rights":          func(c inspected) bool { return slices.Contains(c.HostConfig.SecurityOpt, "no-new-privileges") },
	"5.28 its processes are counted":              func(c inspected) bool { return c.HostConfig.PidsLimit > 0 },
	"5.30 it has no users of the machine's asked": func(c inspected) bool { return c.HostConfig.UsernsMode != "host" },
	"5.31 Docker's socket is not in it": func(c inspected) bool {
		return !slices.ContainsFunc(c.Mounts, func(m struct{ Type, Source, Destination, Propagation string }) bool {
			return strings.Contains(m.Source, "docker.sock")
		})
	},
}

// Whoever breaks into a container stays in it: each that runs keeps the checks.
func TestAttackContainersHoldWhoIsInside(t *testing.T) {
	found := containers(t)
	if len(found) < 30 {
		t.Fatalf("%d containers run: those of a whole shop are more", len(found))
	}
	for check, kept := range cis {
		for _, c := range found {
			if !kept(c) {
				t.Errorf("%s: not so in %s (%s)", check, c.Name, c.Config.Image)
			}
		}
	}
}

// No image of a running container has a program that gives who starts it another's rights.
func TestAttackNoProgramInAnImageGivesRights(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range containers(t) {
		if seen[c.Config.Image] {
			continue
		}
		seen[c.Config.Image] = true
		pid, err := cluster.FirstProcess(strings.TrimPrefix(c.Name, "/"))
		if err != nil {
			t.Fatal(err)
		}
		out, err := cluster.Command("find", fmt.Sprintf("/proc/%d/root/", pid), "-xdev", "-type", "f", "-perm", "/6000")
		if err != nil || out != "" {
			t.Errorf("%s: %v\n%s", c.Config.Image, err, out)
		}
	}
}

// containers are all that run for the shop, with those that hold the network of an allocation.
func containers(t *testing.T) (found []inspected) {
	t.Helper()
	ids, err := cluster.Command("docker", "ps", "--quiet", "--no-trunc")
	if err != nil {
		t.Fatal(err)
	}
	var all []inspected
	out, err := cluster.Command("docker", append([]string{"inspect"}, strings.Fields(ids)...)...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		// Nomad makes the container that holds an allocation's network itself, of a program that only sleeps.
		if of, ours := strings.CutPrefix(c.Config.Image, "bookstore/"); ours && !strings.HasPrefix(of, "pause") && !strings.HasPrefix(of, "machine") { // a lab's
			found = append(found, c)
		}
	}
	return found
}

// allocation is how the name of a task's container ends.
var allocation = regexp.MustCompile(`-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func taskOf(c inspected) string {
	return allocation.ReplaceAllString(strings.TrimPrefix(c.Name, "/"), "")
}

func everyBinding(c inspected, good func(address string, port int) bool) bool {
	for _, bindings := range c.HostConfig.PortBindings {
		for _, b := range bindings {
			if port, err := strconv.Atoi(b.HostPort); err != nil || !good(b.HostIP, port) {
				return false
			}
		}
	}
	return true
}

func mountsOwnAlone(c inspected) bool {
	for _, m := range c.Mounts {
		if m.Type == "bind" && !strings.HasPrefix(path.Clean(m.Source), cluster.State+"/nomad/alloc/") && !strings.HasPrefix(path.Clean(m.Source), cluster.State+"/volumes/") {
			return false
		}
	}
	return true
}

func mountsStay(c inspected) bool {
	for _, m := range c.Mounts {
		if m.Propagation != "" && m.Propagation != "rprivate" && m.Propagation != "private" {
			return false
		}
	}
	return true
}
