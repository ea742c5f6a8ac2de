package jobs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	expression = regexp.MustCompile(`(?m)^\s+expr: (.+)$`)
	selector   = regexp.MustCompile(`\{[^}]*\}|by \([^)]*\)`)
	metric     = regexp.MustCompile(`\b[a-z]+(?:_[a-zA-Z]+)+\b|\b[a-z]{4,}\b`)
	made       = regexp.MustCompile(`Name:\s+"([a-z_]+)"`)
	alert      = regexp.MustCompile(`(?m)- alert: (\w+)$`)
)

// functions of PromQL that the rules use.
var functions = map[string]bool{"absent": true, "bool": true, "vector": true, "count": true, "max": true, "max_over_time": true, "min": true, "offset": true, "rate": true, "time": true, "unless": true}

// foreign is what Patroni, Nomad, Consul, Envoy and Prometheus make; TestEveryMetricOfTheRulesIsMeasured and TestDoorByACME in
// services/e2e hold them to that.
var foreign = regexp.MustCompile(`^(patroni_(primary|postgres_running|xlog_location|xlog_replayed_location|xlog_paused|failsafe_mode_is_active)|` +
	`nomad_nomad_(job_summary_(complete|failed)|heartbeat_active|blocked_evals_total_blocked)|consul_(autopilot_healthy|server_isLeader)|` +
	`up|envoy_listener_ssl_certificate_expiration_unix_time_seconds)$`)

// An alert on a metric that nobody makes is silent for ever.
func TestRulesSpeakOfMetricsThatServicesMake(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	err := filepath.WalkDir("../services", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range made.FindAllSubmatch(text, -1) {
			known[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range glob(t, "prometheus/rules/*.yml") {
		for _, rule := range expression.FindAllStringSubmatch(read(t, file), -1) {
			for _, name := range metric.FindAllString(selector.ReplaceAllString(rule[1], ""), -1) {
				if !known[name] && !functions[name] && !foreign.MatchString(name) {
					t.Errorf("%s: no service makes %q, of which a rule speaks: %s", file, name, rule[1])
				}
			}
		}
	}
}

func TestRulesAreLoadedAndTested(t *testing.T) {
	t.Parallel()
	job := read(t, "prometheus.nomad.hcl")
	for _, file := range glob(t, "prometheus/rules/*.yml") {
		if !strings.Contains(job, `file("${var.root}/jobs/`+file+`")`) {
			t.Errorf("the job does not load %s", file)
		}
		tests := read(t, strings.Replace(file, "/rules/", "/tests/", 1))
		for _, a := range alert.FindAllStringSubmatch(read(t, file), -1) {
			if !strings.Contains(tests, "alertname: "+a[1]+"\n") {
				t.Errorf("%s: no test lets %s fire", file, a[1])
			}
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
