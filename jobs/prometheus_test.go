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
	expression = regexp.MustCompile(`^\s+(?:expr|error_query|total_query): (.+)`)
	selector   = regexp.MustCompile(`\{\{[^}]*\}\}|\{[^}]*\}|(?:by|on|without|ignoring) \([^)]*\)|"[^"]*"`)
	histogram  = regexp.MustCompile(`_(?:count|bucket|sum)$`)
	metric     = regexp.MustCompile(`\b[a-z]+(?:_[a-zA-Z]+)+\b|\b[a-z]{4,}\b`)
	made       = regexp.MustCompile(`Name:\s+"([a-z_]+)"`)
	runbook    = regexp.MustCompile(`(?m)^\s+runbook: ([^#\s]+)#(\S+)$`)
	heading    = regexp.MustCompile(`(?m)^#+ (.+)$`)
	alert      = regexp.MustCompile(`(?m)- alert: (\w+)$`)
)

// slo is what the rules of the SLOs are made of.
const slo = "prometheus/slo/shop.yml"

// functions of PromQL that the rules use.
var functions = map[string]bool{"absent": true, "bool": true, "vector": true, "count": true, "increase": true, "label_replace": true, "max": true, "max_over_time": true, "min": true, "offset": true, "rate": true, "time": true, "unless": true}

// foreign is what Patroni, Nomad, Consul, Envoy and Prometheus make; TestEveryMetricOfTheRulesIsMeasured and TestDoorByACME in
// services/e2e hold them to that.
var foreign = regexp.MustCompile(`^(patroni_(primary|postgres_running|xlog_location|xlog_replayed_location|xlog_paused|failsafe_mode_is_active)|` +
	`nomad_(nomad_(job_summary_(complete|failed|running)|heartbeat_active|blocked_evals_total_blocked)|` +
	`client_host_(disk_used_percent|memory_(available|total))|agent_tls_(cert|ca)_expiration_seconds)|` +
	`consul_(autopilot_healthy|server_isLeader|agent_tls_cert_expiry|mesh_active_(root|signing)_ca_expiry)|envoy_cluster_membership_healthy|` +
	`prometheus_(rule_evaluation_failures_total|config_last_reload_successful|tsdb_(wal_writes|compactions)_failed_total)|` +
	`alertmanager_(config_last_reload_successful|notifications_failed_total)|` +
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
	for _, file := range append(glob(t, "prometheus/rules/*.yml"), slo) {
		if file == "prometheus/rules/slo.yml" {
			continue // it is made of slo
		}
		for _, rule := range expressions(read(t, file)) {
			for _, name := range metric.FindAllString(selector.ReplaceAllString(rule, ""), -1) {
				name = histogram.ReplaceAllString(name, "")
				if !known[name] && !functions[name] && !foreign.MatchString(name) {
					t.Errorf("%s: no service makes %q, of which a rule speaks: %s", file, name, rule)
				}
			}
		}
	}
}

// expressions are those of a file of rules or SLOs, each in one line.
func expressions(text string) (all []string) {
	indent, open := 0, false
	for line := range strings.Lines(text) {
		deep := len(line) - len(strings.TrimLeft(line, " "))
		switch m := expression.FindStringSubmatch(line); {
		case m != nil:
			indent, open = deep, strings.HasPrefix(m[1], ">") || strings.HasPrefix(m[1], "|")
			all = append(all, strings.TrimLeft(m[1], ">|-"))
		case open && deep > indent:
			all[len(all)-1] += " " + strings.TrimSpace(line)
		default:
			open = false
		}
	}
	return all
}

// The rules of the SLOs are made, and checked in.
func TestSLORulesAreUpToDate(t *testing.T) {
	t.Parallel()
	made := filepath.Join(t.TempDir(), "slo.yml")
	const sloth = "/opt/bookstore/bin/sloth"
	if _, err := run(t, sloth, "generate", "--no-log", "--slo-period-windows-path=jobs/prometheus/slo/windows", "--default-slo-period=2d",
		"-i", "jobs/"+slo, "-o", made); err != nil {
		t.Fatalf("%v: 'go tool task tools' builds it", err)
	}
	if read(t, made) != read(t, "prometheus/rules/slo.yml") {
		t.Error("run: go tool task jobs:generate")
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
			if !strings.Contains(tests, "alertname: "+a[1]+"\n") && !strings.Contains(tests, `ALERTS{alertname="`+a[1]+`"`) {
				t.Errorf("%s: no test lets %s fire", file, a[1])
			}
		}
	}
}

// Each alert has a link, to a section that there is.
func TestRunbooksExist(t *testing.T) {
	t.Parallel()
	for _, file := range glob(t, "prometheus/rules/*.yml") {
		if alerts, links := alert.FindAllString(read(t, file), -1), runbook.FindAllString(read(t, file), -1); len(alerts) != len(links) {
			t.Errorf("%s: %d alerts have %d links", file, len(alerts), len(links))
		}
		for _, m := range runbook.FindAllStringSubmatch(read(t, file), -1) {
			anchors := map[string]bool{}
			for _, h := range heading.FindAllStringSubmatch(read(t, filepath.Join("..", m[1])), -1) {
				anchors[strings.ReplaceAll(strings.ToLower(h[1]), " ", "-")] = true
			}
			if !anchors[m[2]] {
				t.Errorf("%s: %s has no section %s", file, m[1], m[2])
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
