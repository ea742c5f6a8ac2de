// Package jobs_test holds every job file to the rules of the house.
//
// Each jobs/*.nomad.hcl is parsed by the pinned nomad binary with no variables and with each
// file of jobs/vars, so a rule holds on one machine and on many.
package jobs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"bookstore/services/operator/machine"
)

// parsed is one job file under one set of variables.
type parsed struct {
	file string   // books.nomad.hcl
	vars string   // one.hcl, or "" for the defaults alone
	raw  *api.Job // as written: what is not stated is nil
	full *api.Job // with Nomad's defaults and inheritance filled in
}

func (p parsed) name() string { return strings.TrimSuffix(p.file, ".nomad.hcl") + "/" + p.vars }

// nomad finds the binary that the provision scripts built or found.
func nomad(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("/opt/bookstore/bin/nomad"); err == nil {
		return path
	}
	path, err := exec.LookPath("nomad")
	if err != nil {
		t.Fatal("nomad is neither in /opt/bookstore/bin nor on the PATH: vagrant/provision installs it")
	}
	return path
}

// run runs a command from the top of the repository, where people run it and where the
// paths in the jobs' file() calls begin.
func run(t *testing.T, name string, args ...string) ([]byte, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Logf("%s %s\n%s%s", name, strings.Join(args, " "), out, stderr.Bytes())
	}
	return out, err
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no file matches jobs/%s (%v)", pattern, err)
	}
	return files
}

// output is what nomad makes of one job file with one set of variables.
type output struct {
	file, vars string
	json       []byte
	err        error
	said       []byte
}

// outputs are those of all, made once for all tests: nomad is a process each time.
var outputs = sync.OnceValue(func() (all []output) {
	binary, err := machine.Tool("nomad")
	if err != nil {
		return []output{{err: err}}
	}
	files, _ := filepath.Glob("*.nomad.hcl") // the patterns are good
	vars, _ := filepath.Glob("vars/*.hcl")
	for _, file := range files {
		for _, v := range append([]string{""}, vars...) {
			args := []string{"job", "run", "-output", "-hcl2-strict=false"}
			if v != "" {
				args = append(args, "-var-file=jobs/"+v)
			}
			made := output{file: file}
			if v != "" {
				made.vars = filepath.Base(v)
			}
			var stderr bytes.Buffer
			cmd := exec.CommandContext(context.Background(), binary, append(args, "jobs/"+file)...)
			cmd.Dir, cmd.Stderr = "..", &stderr
			made.json, made.err = cmd.Output()
			made.said = stderr.Bytes()
			all = append(all, made)
		}
	}
	return all
})

// load parses all jobs with all sets of variables; a file that does not parse is an error
// of its own and leaves the others to be checked.
func load(t *testing.T) (all []parsed) {
	t.Helper()
	for _, made := range outputs() {
		p := parsed{file: made.file, vars: made.vars}
		if made.err != nil {
			t.Errorf("%s does not parse: %v\n%s%s", p.name(), made.err, made.json, made.said)
			continue
		}
		p.raw, p.full = decode(t, made.json), decode(t, made.json)
		p.full.Canonicalize()
		all = append(all, p)
	}
	if len(all) == 0 {
		t.Fatal("there is no job")
	}
	return all
}

func decode(t *testing.T, out []byte) *api.Job {
	t.Helper()
	var wrapped struct{ Job *api.Job }
	if err := json.Unmarshal(out, &wrapped); err != nil || wrapped.Job == nil {
		t.Fatalf("decode nomad's output: %v", err)
	}
	return wrapped.Job
}

func TestJobs(t *testing.T) {
	t.Parallel()
	rules := map[string]func(*testing.T, parsed){
		"file name is job id":        ruleName,
		"every service is checked":   ruleChecks,
		"bad update is reverted":     ruleUpdate,
		"stops within kill_timeout":  ruleDrain,
		"never two runs at once":     rulePeriodic,
		"resources are stated":       ruleResources,
		"images are pinned":          ruleImages,
		"no literal secret":          ruleSecrets,
		"secret files are its own":   ruleSecretFiles,
		"containers are hardened":    ruleHardened,
		"apps are behind their mesh": ruleMesh,
		"several machines spread it": ruleSpread,
		"a drain of its host ends":   ruleDrains,
		"nothing waits for a host":   ruleNotKept,
	}
	for _, p := range load(t) {
		for name, rule := range rules {
			t.Run(p.name()+"/"+name, func(t *testing.T) {
				t.Parallel()
				rule(t, p)
			})
		}
	}
}

func TestJobFilesAreCanonical(t *testing.T) {
	t.Parallel()
	if _, err := run(t, nomad(t), "fmt", "-check", "-recursive", "jobs"); err != nil {
		t.Error("run: nomad fmt -recursive jobs")
	}
}

// variableBlock matches one variable block; jobs are in canonical format, so it ends with
// the first brace at the beginning of a line.
var variableBlock = regexp.MustCompile(`(?ms)^variable "([^"]+)" \{\n(.*?)^\}`)

func TestVariablesAreTypedDescribedAndValidated(t *testing.T) {
	t.Parallel()
	for _, file := range glob(t, "*.nomad.hcl") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range variableBlock.FindAllStringSubmatch(string(text), -1) {
			for _, want := range []string{"type", "description"} {
				if !regexp.MustCompile(`(?m)^\s+` + want + `\s+=`).MatchString(m[2]) {
					t.Errorf("%s: variable %q has no %s", file, m[1], want)
				}
			}
			// A boolean cannot be out of range.
			if !strings.Contains(m[2], "validation {") && !regexp.MustCompile(`type\s+=\s+bool`).MatchString(m[2]) {
				t.Errorf("%s: variable %q is not validated", file, m[1])
			}
		}
	}
}

func ruleName(t *testing.T, p parsed) {
	if want := strings.TrimSuffix(p.file, ".nomad.hcl"); *p.raw.ID != want {
		t.Errorf("job ID %q, want %q", *p.raw.ID, want)
	}
}

func ruleChecks(t *testing.T, p parsed) {
	for _, g := range p.raw.TaskGroups {
		services := g.Services
		for _, task := range g.Tasks {
			services = append(services, task.Services...)
		}
		for _, s := range services {
			if len(s.Checks) == 0 {
				t.Errorf("group %s: service %q has no check", *g.Name, s.Name)
			}
		}
	}
}

func ruleUpdate(t *testing.T, p parsed) {
	if *p.full.Type != "service" {
		return
	}
	for _, g := range p.full.TaskGroups {
		if u := g.Update; u == nil || u.AutoRevert == nil || !*u.AutoRevert {
			t.Errorf("group %s: auto_revert is not true", *g.Name)
		} else if *u.MaxParallel != 1 {
			t.Errorf("group %s: max_parallel is %d, want 1", *g.Name, *u.MaxParallel)
		}
	}
}

// ruleDrain: a service that gets SIGTERM still serves for DRAIN_DELAY and then has
// SHUTDOWN_TIMEOUT to end what is in flight; Nomad must wait longer than both, for the app
// and for the Envoy in front of it.
func ruleDrain(t *testing.T, p parsed) {
	for _, g := range p.raw.TaskGroups {
		sidecar := sidecarTask(g)
		if sidecar == nil {
			continue
		}
		if g.ShutdownDelay == nil || *g.ShutdownDelay <= 0 {
			t.Errorf("group %s: no shutdown_delay", *g.Name)
		}
		need := time.Duration(0)
		for _, task := range g.Tasks {
			drain := duration(t, task.Env["DRAIN_DELAY"], 3*time.Second) + duration(t, task.Env["SHUTDOWN_TIMEOUT"], 10*time.Second)
			if task.KillTimeout == nil || *task.KillTimeout <= drain {
				t.Errorf("task %s: kill_timeout is not above its drain of %s", task.Name, drain)
			}
			need = max(need, drain)
		}
		if sidecar.KillTimeout == nil || *sidecar.KillTimeout <= need {
			t.Errorf("group %s: the sidecar's kill_timeout is not above the drain of %s", *g.Name, need)
		}
	}
}

func duration(t *testing.T, text string, otherwise time.Duration) time.Duration {
	t.Helper()
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func rulePeriodic(t *testing.T, p parsed) {
	if periodic := p.raw.Periodic; periodic != nil && (periodic.ProhibitOverlap == nil || !*periodic.ProhibitOverlap) {
		t.Error("a periodic job needs prohibit_overlap = true")
	}
}

// members are the groups whose size is part of the design.
var members = map[string]int{"patroni": 5, "redis": 6, "books": 2, "orders": 2, "payments": 2, "coordinator": 2, "gateway": 2}

func TestGroupSizes(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range load(t) {
		want, ok := members[*p.raw.ID]
		if !ok {
			continue
		}
		seen[*p.raw.ID] = true
		total := 0
		for _, g := range p.full.TaskGroups {
			total += *g.Count
		}
		if total != want {
			t.Errorf("%s: %d allocations, want %d", p.name(), total, want)
		}
	}
	for job := range members {
		if !seen[job] {
			t.Errorf("there is no job %q", job)
		}
	}
}

func ruleImages(t *testing.T, p parsed) {
	for _, g := range p.raw.TaskGroups {
		for _, task := range g.Tasks {
			if task.Driver != "docker" {
				continue
			}
			image, _ := task.Config["image"].(string)
			if _, tag, ok := strings.Cut(image, ":"); !ok || tag == "" || tag == "latest" {
				t.Errorf("task %s: image %q has no fixed tag, so Nomad would try to pull it", task.Name, image)
			}
		}
	}
}

// literalSecret matches a line that gives a secret a value; a value out of a Nomad Variable
// contains a template action and one out of a file is named …_FILE.
var literalSecret = regexp.MustCompile(`(?im)^[^#\n]*(password|passwd|secret|token|private_key)["']?\s*[:=]\s*["']?[^\s"'{$]+`)

func ruleSecrets(t *testing.T, p parsed) {
	report := func(where, text string) {
		for line := range strings.SplitSeq(text, "\n") {
			if literalSecret.MatchString(line) && !strings.Contains(line, "{{") {
				t.Errorf("%s looks like a literal secret: %s", where, strings.TrimSpace(line))
			}
		}
	}
	for _, g := range p.raw.TaskGroups {
		for _, task := range g.Tasks {
			for name, value := range task.Env {
				report("task "+task.Name+" env", name+"="+value)
			}
			for _, tmpl := range task.Templates {
				if tmpl.EmbeddedTmpl != nil {
					report("task "+task.Name+" template", *tmpl.EmbeddedTmpl)
				}
			}
		}
	}
}

// onHost are the tasks on the machine's own network, for the reasons in jobs/README.md.
var onHost = []string{"patroni-patroni", "patroni-fence", "redis-redis", "prometheus-prometheus", "prometheus-agents", "acme-acme", "alertmanager-alertmanager"}

// ruleHardened: a container has no right of root's and gets none, writes to what is mounted for it alone, and cannot
// fill the machine with processes.
func ruleHardened(t *testing.T, p parsed) {
	for _, g := range p.raw.TaskGroups {
		for _, task := range g.Tasks {
			hardened(t, task.Name, task.Config)
			name := *p.raw.ID + "-" + task.Name
			if host := task.Config["network_mode"] == "host"; host != slices.Contains(onHost, name) {
				t.Errorf("task %s: on the machine's network: %t", name, host)
			}
		}
		if sidecar := sidecarTask(g); sidecar != nil {
			hardened(t, "the sidecar of "+*g.Name, sidecar.Config)
		}
	}
}

func hardened(t *testing.T, task string, config map[string]any) {
	t.Helper()
	for name, want := range map[string]string{"cap_drop": "[all]", "security_opt": "[no-new-privileges]", "readonly_rootfs": "true"} {
		if got := fmt.Sprint(config[name]); got != want {
			t.Errorf("%s: %s is %s, want %s", task, name, got, want)
		}
	}
	if limit, ok := config["pids_limit"].(float64); !ok || limit <= 0 || limit > 512 {
		t.Errorf("%s: pids_limit is %v, want at most 512", task, config["pids_limit"])
	}
	for _, never := range []string{"privileged", "cap_add", "pid_mode", "ipc_mode", "userns_mode", "devices", "volumes"} {
		if value, ok := config[never]; ok {
			t.Errorf("%s: %s is %v", task, never, value)
		}
	}
}

// The images are built with the version that the provision scripts state, so that
// `nomad job run` with defaults alone finds them.
func TestDefaultVersionIsTheOneThatIsBuilt(t *testing.T) {
	t.Parallel()
	lib, err := os.ReadFile("../vagrant/provision/lib.sh")
	if err != nil {
		t.Fatal(err)
	}
	built := regexp.MustCompile(`(?m)^VERSION=(\S+)`).FindSubmatch(lib)
	if built == nil {
		t.Fatal("vagrant/provision/lib.sh states no VERSION")
	}
	for _, file := range glob(t, "*.nomad.hcl") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range variableBlock.FindAllStringSubmatch(string(text), -1) {
			if m[1] == "version" && !regexp.MustCompile(`default\s+= "`+regexp.QuoteMeta(string(built[1]))+`"`).MatchString(m[2]) {
				t.Errorf("%s: the default version is not %s", file, built[1])
			}
		}
	}
}
