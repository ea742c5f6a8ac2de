// Package terraform_test holds the modules and environments of terraform/ to the rules of the house, and runs them: by default on
// a stand-in for the providers (standin), since there may be no registry of providers, with TERRAFORM_PROVIDERS=official on
// those that Terraform itself finds.
package terraform_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const repository = "../.."

// official has the tests use the true providers.
var official = os.Getenv("TERRAFORM_PROVIDERS") == "official"

// terraform is the program, of a version that has what the modules use: values that are only written came with 1.11.
var terraform = sync.OnceValues(func() (string, error) {
	const remedy = "install Terraform 1.11 or newer from https://developer.hashicorp.com/terraform/install"
	path, err := exec.LookPath("terraform")
	if err != nil {
		return "", fmt.Errorf("terraform is missing, which the tests of terraform/ need: %s", remedy)
	}
	cmd := exec.Command(path, "version", "-json")
	cmd.Env = append(environment(), "TF_CLI_CONFIG_FILE="+os.DevNull)
	out, err := cmd.Output()
	var said struct {
		Version string `json:"terraform_version"`
	}
	var major, minor int
	if err == nil {
		err = json.Unmarshal(out, &said)
	}
	if err == nil {
		_, err = fmt.Sscanf(said.Version, "%d.%d", &major, &minor)
	}
	if err != nil || major != 1 || minor < 11 {
		return "", fmt.Errorf("%s is Terraform %q (%w): %s", path, said.Version, err, remedy)
	}
	return path, nil
})

// environment is this process's without what is set for other uses of Terraform.
func environment() []string {
	kept := slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "TF_") && !official })
	return append(kept, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0")
}

// workspace is where the tests leave what they make: the stand-in, and a copy of terraform/ in which Terraform may write.
var workspace string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if workspace, err = os.MkdirTemp("", "terraform-tests-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(workspace)
		return m.Run()
	}())
}

// providers builds the stand-in, names it as each provider that it knows, and returns the settings with which Terraform finds it.
var providers = sync.OnceValues(func() (string, error) {
	if official {
		return "", nil
	}
	program := filepath.Join(workspace, "standin")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "-C", "standin", "build", "-trimpath", "-ldflags=-s -w", "-o", program, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the stand-in: %w: %s", err, out)
	}
	known, err := factsOfProviders()
	if err != nil {
		return "", err
	}
	mirror := filepath.Join(workspace, "mirror")
	for name, provider := range known {
		dir := filepath.Join(mirror, "registry.terraform.io", provider.Source, provider.Version, "linux_amd64")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
		if err := os.Link(program, filepath.Join(dir, "terraform-provider-"+name+"_v"+provider.Version)); err != nil {
			return "", err
		}
	}
	settings := filepath.Join(workspace, "terraform.rc")
	return settings, os.WriteFile(settings, fmt.Appendf(nil, "provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror), 0o600)
})

// provider is what the stand-in knows of one: where it comes from, and of which version the facts are.
type provider struct{ Source, Version string }

func factsOfProviders() (map[string]provider, error) {
	files, err := filepath.Glob("standin/facts/*.json")
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no facts of providers: %w", err)
	}
	known := map[string]provider{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var p provider
		if err := json.Unmarshal(text, &p); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		known[strings.TrimSuffix(filepath.Base(file), ".json")] = p
	}
	return known, nil
}

// tree is a copy of terraform/ beside links to all else of the checkout: Terraform writes its locks beside what it reads.
func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	entries, err := os.ReadDir(repository)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != "terraform" {
			if err := os.Symlink(filepath.Join(whole, entry.Name()), filepath.Join(root, entry.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, part := range []string{"modules", "environments"} {
		err := filepath.WalkDir(filepath.Join("..", part), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			if theirs(path) {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			to := filepath.Join(root, "terraform", strings.TrimPrefix(path, "../"))
			return errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, text, 0o600))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// theirs tells whether a file is a user's own: what Terraform made, or settings of theirs.
func theirs(path string) bool {
	return strings.Contains(path, ".terraform") || regexp.MustCompile(`\.tfstate|\.tfplan$|\.auto\.tfvars|/terraform\.tfvars$|/adopt\.tf$`).MatchString(path)
}

// bench is a folder of Terraform's with a world of its own.
type bench struct{ dir, world, data string }

func newBench(t *testing.T, root, folder string) bench {
	t.Helper()
	return bench{dir: filepath.Join(root, "terraform", folder), world: t.TempDir(), data: t.TempDir()}
}

// run runs one command of Terraform in the folder and returns its exit code and what it says.
func (b bench) run(t *testing.T, extra []string, args ...string) (code int, said string) {
	t.Helper()
	program, err := terraform()
	if err != nil {
		t.Fatal(err)
	}
	settings, err := providers()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = b.dir
	cmd.Env = append(environment(), "TF_DATA_DIR="+b.data, "STANDIN_WORLD="+b.world)
	if settings != "" {
		cmd.Env = append(cmd.Env, "TF_CLI_CONFIG_FILE="+settings)
	}
	// The true providers want an address. Nobody is at this one: a test makes nothing, whatever shop runs here.
	cmd.Env = append(cmd.Env, "NOMAD_ADDR=http://127.0.0.1:9", "CONSUL_HTTP_ADDR=127.0.0.1:9")
	cmd.Env = append(cmd.Env, extra...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if code = cmd.ProcessState.ExitCode(); code != 0 {
		return code, stdout.String() + stderr.String()
	}
	return 0, stdout.String()
}

// must runs a command that has to succeed.
func (b bench) must(t *testing.T, args ...string) string {
	t.Helper()
	code, said := b.run(t, nil, args...)
	if code != 0 {
		t.Fatalf("terraform %s in %s: exit %d\n%s", strings.Join(args, " "), filepath.Base(b.dir), code, said)
	}
	return said
}

// folders are those with Terraform's files, from terraform/ on.
func folders(t *testing.T) (found []string) {
	t.Helper()
	for _, pattern := range []string{"modules/*", "environments/*", "environments/*/*"} {
		dirs, err := filepath.Glob(filepath.Join("..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range dirs {
			if files, _ := filepath.Glob(filepath.Join(dir, "*.tf")); len(files) > 0 {
				found = append(found, strings.TrimPrefix(dir, "../"))
			}
		}
	}
	if len(found) < 5 {
		t.Fatalf("too few folders: %v", found)
	}
	return found
}
