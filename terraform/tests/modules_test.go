package terraform_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestFormat(t *testing.T) {
	t.Parallel()
	program, err := terraform()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "fmt", "-check", "-recursive", "-diff", "..")
	cmd.Env = append(environment(), "TF_CLI_CONFIG_FILE="+os.DevNull)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v; 'terraform fmt -recursive terraform' formats:\n%s", err, out)
	}
}

// Each module and environment is valid against what is known of its providers, and its own tests pass.
func TestEachFolderIsValidAndKeepsItsTests(t *testing.T) {
	t.Parallel()
	root := tree(t)
	for _, folder := range folders(t) {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, root, folder)
			b.must(t, "init", "-backend=false", "-no-color")
			b.must(t, "validate", "-no-color")
			tests, err := filepath.Glob(filepath.Join(b.dir, "tests", "*.tftest.hcl"))
			if err != nil {
				t.Fatal(err)
			}
			if len(tests) > 0 {
				b.must(t, "test", "-no-color")
			}
		})
	}
}

// The stand-in knows names and types: what is misspelt, missing or of another type is refused.
func TestTheStandInRefusesWhatTheProviderDoesNotKnow(t *testing.T) {
	t.Parallel()
	if official {
		t.Skip("it is not used with TERRAFORM_PROVIDERS=official")
	}
	for name, c := range map[string]struct{ text, says string }{
		"misspelt argument": {`resource "nomad_variable" "x" {
			pth = "a"
		}`, "Unsupported argument"},
		"missing argument": {`resource "nomad_variable" "x" {}`, `The argument "path" is required`},
		"wrong type":       {`resource "nomad_dynamic_host_volume" "x" { parameters = "a" }`, "Inappropriate value for attribute"},
		"unknown resource": {`resource "nomad_varible" "x" {}`, "Invalid resource type"},
		"missing block": {`resource "nomad_dynamic_host_volume" "x" {
			name = "a"
			plugin_id = "mkdir"
		}`, "Insufficient capability blocks"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bench{dir: t.TempDir(), world: t.TempDir(), data: t.TempDir()}
			text := "terraform {\n required_providers {\n nomad = {\n source = \"hashicorp/nomad\"\n}\n}\n}\n" + c.text
			if err := os.WriteFile(filepath.Join(b.dir, "main.tf"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			b.must(t, "init", "-no-color")
			if code, said := b.run(t, nil, "validate", "-no-color"); code == 0 || !strings.Contains(said, c.says) {
				t.Errorf("exit %d: %s", code, said)
			}
		})
	}
}

// userData is what module machine has each machine do first, by the machine's name.
func userData(t *testing.T, servers, clients string, variables ...string) map[string]string {
	t.Helper()
	b := newBench(t, tree(t), "modules/machine")
	b.must(t, "init", "-no-color")
	b.must(t, append([]string{
		"apply", "-auto-approve", "-no-color", "-var=servers=" + servers, "-var=clients=" + clients,
		"-var=repository=https://git.example.com/bookstore.git", "-var=revision=v1.0.0", `-var=egress=["192.0.2.10:443"]`,
		`-var=ssh_keys=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample operator"]`,
		`-var=go={url="https://go.dev/dl/go1.26.0.linux-amd64.tar.gz",sha256="` + strings.Repeat("0", 64) + `"}`,
	}, variables...)...)
	var machines map[string]struct {
		UserData string `json:"user_data"`
	}
	if err := json.Unmarshal([]byte(b.must(t, "output", "-json", "machines")), &machines); err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for name, machine := range machines {
		texts[name] = machine.UserData
	}
	return texts
}

// What a machine is told is what cloud-init takes, by its own check, and a script that bash can read.
func TestUserDataIsWhatCloudInitTakes(t *testing.T) {
	t.Parallel()
	program := "/opt/bookstore/bin/cloud-init"
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: 'go tool task tools' puts it there (vagrant/provision/36-cloud-init.sh)", err)
	}
	texts := userData(t, "1", "2")
	if len(texts) != 3 {
		t.Errorf("%d machines", len(texts))
	}
	check := func(text string) (string, error) {
		file := filepath.Join(t.TempDir(), "user-data")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), program, "schema", "-c", file).CombinedOutput()
		return string(out), err
	}
	for name, text := range texts {
		if said, err := check(text); err != nil {
			t.Errorf("%s: %v: %s", name, err, said)
		}
		if said, err := check(strings.Replace(text, `"runcmd":`, `"packages":`, 1)); err == nil {
			t.Errorf("%s: what is wrong passes: %s", name, said)
		}
	}
}

// What a machine is told are settings that the provision scripts know, and the scripts are such that bash can read them.
func TestMachinesAreToldWhatTheScriptsKnow(t *testing.T) {
	t.Parallel()
	lib, err := os.ReadFile(filepath.Join(repository, "vagrant", "provision", "lib.sh"))
	if err != nil {
		t.Fatal(err)
	}
	environment, err := os.ReadFile("../modules/machine/provision.env.tftpl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(environment)) {
		name, _, _ := strings.Cut(line, "=")
		if name != "ADDRESS" && !strings.Contains(string(lib), "\n"+name+"=${"+name+":-") {
			t.Errorf("vagrant/provision/lib.sh has no setting %s", name)
		}
	}
	for _, template := range []string{"../modules/machine/provision.sh.tftpl", "../modules/join/join.sh.tftpl"} {
		text, err := os.ReadFile(template)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "bash", "-n")
		cmd.Stdin = strings.NewReader(plain(string(text)))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", template, err, out)
		}
	}
}

// plain is a template of a script with a word for each value.
func plain(text string) string {
	text = regexp.MustCompile(`(?m)^%\{.*\}\n`).ReplaceAllString(text, "")
	return regexp.MustCompile(`([^$])\$\{[^}]*\}`).ReplaceAllString(text, "${1}word")
}
