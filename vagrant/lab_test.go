package vagrant_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rendered is a machine of the Vagrantfile as Vagrant sees it for a provider (rendered.rb).
type rendered struct {
	Name, Provider, Hostname, Box, Address, Mask, Container, Image string

	Arguments    []string
	Memory, CPUs int
	Steps        []struct {
		Name, Script string
		Settings     map[string]string
	}
}

// settings are those that a script of a machine is given.
func (m rendered) settings(step string) map[string]string {
	for _, s := range m.Steps {
		if s.Name == step {
			return s.Settings
		}
	}
	return nil
}

// render asks Vagrant's own library, which Debian's package has.
func render(t *testing.T, settings ...string) (machines []rendered, said string) {
	t.Helper()
	if exec.CommandContext(t.Context(), "ruby", "-e", "require 'vagrant'").Run() != nil {
		t.Skip("Ruby has no library of Vagrant: install the package vagrant")
	}
	cmd := exec.CommandContext(t.Context(), "ruby", "-W0", "rendered.rb")
	cmd.Env = slices.DeleteFunc(os.Environ(), func(setting string) bool { return strings.HasPrefix(setting, "BOOKSTORE_LAB_") })
	cmd.Env = append(cmd.Env, settings...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, stderr.String()
	}
	if err := json.Unmarshal(out, &machines); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return machines, stderr.String()
}

func TestOneVagrantfileTwoProviders(t *testing.T) {
	t.Parallel()
	machines, said := render(t, "BOOKSTORE_LAB_DRIVER=qemu")
	if len(machines) != 8 {
		t.Fatalf("%d machines of two providers: %s", len(machines), said)
	}
	addresses := map[string]string{"server1": "10.31.251.11", "client1": "10.31.251.101", "client2": "10.31.251.102", "client3": "10.31.251.103"}
	for _, m := range machines {
		role := strings.TrimRight(m.Name, "123")
		told := m.settings("bookstore")
		if m.Address != addresses[m.Name] || m.Hostname != m.Name || told["LAB_ADDRESS"] != m.Address {
			t.Errorf("%s of %s: %s, told %s", m.Name, m.Provider, m.Address, told["LAB_ADDRESS"])
		}
		if told["BOOKSTORE_ROLE"] != role || told["BOOKSTORE_SERVERS"] != "10.31.251.11" || told["BOOKSTORE_BOOTSTRAP"] != "1" || told["BOOKSTORE_S3"] != addresses["client1"] {
			t.Errorf("%s of %s is told %v", m.Name, m.Provider, told)
		}
		deploy := m.settings("shop")
		if (deploy != nil) != (m.Name == "server1") || deploy != nil && (deploy["BOOKSTORE_NODES"] != "3" || deploy["BOOKSTORE_VARS"] != "jobs/vars/three.hcl") {
			t.Errorf("%s of %s deploys %v", m.Name, m.Provider, deploy)
		}
		switch m.Provider {
		case "libvirt":
			if m.Box != "debian/bookworm64" || m.Memory != 4096 || m.CPUs != 2 || m.Mask != "255.255.255.0" || told["BOOKSTORE_GIVEN"] != "" || m.settings("share") == nil {
				t.Errorf("%+v", m)
			}
		case "docker":
			if m.Box != "" || m.Mask != "24" || told["BOOKSTORE_GIVEN"] != "1" || told["BOOKSTORE_MEMORY"] != "4096" || m.Image != "bookstore/machine:lab" {
				t.Errorf("%+v", m)
			}
		}
	}
}

// What scripts are told has to be among what they know.
func TestVagrantTellsWhatTheScriptsKnow(t *testing.T) {
	t.Parallel()
	machines, _ := render(t)
	lib := read(t, "provision/lib.sh")
	for _, m := range machines {
		for name := range m.settings("bookstore") {
			if name != "LAB_ADDRESS" && !strings.Contains(lib, "\n"+name+"=${"+name+":-") {
				t.Errorf("provision/lib.sh has no setting %s", name)
			}
		}
		for _, step := range m.Steps {
			cmd := exec.CommandContext(t.Context(), "bash", "-n")
			cmd.Stdin = strings.NewReader(step.Script)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s of %s: %v: %s", step.Name, m.Name, err, out)
			}
		}
	}
}

// Containers of Vagrant's, of the lab's, and of a shop on this machine itself share nothing but what is made once.
func TestVagrantsContainersCollideWithNothing(t *testing.T) {
	t.Parallel()
	machines, _ := render(t)
	names := map[string]bool{}
	for _, m := range machines {
		if m.Provider != "docker" {
			continue
		}
		if names[m.Container] || m.Container != "bookstore-"+m.Name {
			t.Errorf("the container %s", m.Container)
		}
		names[m.Container] = true
		if strings.HasPrefix(m.Address, "10.31.250.") {
			t.Errorf("%s has an address of the lab's: %s", m.Name, m.Address)
		}
		for i, argument := range m.Arguments {
			if argument == "--label" || argument == "--privileged" || argument == "--network" || argument == "-p" || strings.Contains(argument, "@") {
				t.Errorf("%s: the argument %s", m.Name, argument)
			}
			if argument != "-v" {
				continue
			}
			from, rest, _ := strings.Cut(m.Arguments[i+1], ":")
			own := strings.HasPrefix(from, "/var/lib/bookstore-vagrant/"+m.Name+"/") || from == "/var/lib/bookstore-vagrant/archive"
			if !own && (!strings.HasPrefix(from, "/var/cache/bookstore/lab/") || !strings.HasSuffix(rest, ":ro")) {
				t.Errorf("%s has the folder %s", m.Name, m.Arguments[i+1])
			}
		}
	}
}

func TestMachinesAreAsTheSettingsSay(t *testing.T) {
	t.Parallel()
	machines, said := render(t, "BOOKSTORE_LAB_SERVERS=3", "BOOKSTORE_LAB_CLIENTS=5", "BOOKSTORE_LAB_MEMORY=6000", "BOOKSTORE_LAB_CPUS=1",
		"BOOKSTORE_LAB_BOX=bento/debian-12", "BOOKSTORE_LAB_NETWORK=192.168.77.0", "BOOKSTORE_LAB_DRIVER=kvm")
	if len(machines) != 16 {
		t.Fatalf("%d machines: %s", len(machines), said)
	}
	for _, m := range machines {
		told := m.settings("bookstore")
		if !strings.HasPrefix(m.Address, "192.168.77.") || told["BOOKSTORE_SERVERS"] != "192.168.77.11,192.168.77.12,192.168.77.13" || told["BOOKSTORE_BOOTSTRAP"] != "3" {
			t.Errorf("%s: %s, told %v", m.Name, m.Address, told)
		}
		if deploy := m.settings("shop"); m.Name == "server1" && (deploy["BOOKSTORE_NODES"] != "5" || deploy["BOOKSTORE_VARS"] != "jobs/vars/many.hcl") {
			t.Errorf("%s deploys %v", m.Name, deploy)
		}
		if m.Provider == "libvirt" && (m.Memory != 6000 || m.CPUs != 1 || m.Box != "bento/debian-12") {
			t.Errorf("%+v", m)
		}
		if m.Provider == "docker" && !strings.Contains(strings.Join(m.Arguments, " "), "--memory 6000m --cpus 1 ") {
			t.Errorf("%s: %v", m.Name, m.Arguments)
		}
	}
	for _, wrong := range []string{"BOOKSTORE_LAB_SERVERS=2", "BOOKSTORE_LAB_CLIENTS=2", "BOOKSTORE_LAB_MEMORY=4G", "BOOKSTORE_LAB_CPUS=0", "BOOKSTORE_LAB_DRIVER=xen", "BOOKSTORE_LAB_NETWORK=10.0.0.1"} {
		if machines, said := render(t, wrong); machines != nil || !strings.Contains(said, wrong+": expected ") {
			t.Errorf("%s: %q", wrong, said)
		}
	}
}
