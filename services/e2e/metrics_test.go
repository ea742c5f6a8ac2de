//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"testing"
	"time"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// query queries Prometheus and returns the value of every series by its labels.
func query(ctx context.Context, expression string) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		"http://127.0.0.1:9090/api/v1/query?query="+url.QueryEscape(expression), nil)
	if err != nil {
		return nil, err
	}
	res, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s %s %w", expression, answer.Status, answer.Error, err)
	}
	series := map[string]string{}
	for _, r := range answer.Data.Result {
		series[fmt.Sprint(r.Metric)] = fmt.Sprint(r.Value[1])
	}
	return series, nil
}

// Prometheus finds both instances of every service, and the Envoy beside each, by itself.
func TestEverythingIsScraped(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	for _, service := range cluster.Services {
		for _, target := range []string{
			fmt.Sprintf(`up{job=%q}`, service),
			fmt.Sprintf(`up{job="envoy",service=%q}`, service),
		} {
			shoptest.Eventually(t, time.Minute, target, func(ctx context.Context) error {
				series, err := query(ctx, target)
				if err != nil {
					return err
				}
				if len(series) != 2 {
					return fmt.Errorf("%d targets, want 2: %v", len(series), series)
				}
				for labels, value := range series {
					if value != "1" {
						return fmt.Errorf("%s is %s", labels, value)
					}
				}
				return nil
			})
		}
	}
}

// Of each machine the agents of Nomad and Consul are measured, by a proxy that lets nothing else of them be seen.
func TestTheAgentsAreMeasured(t *testing.T) {
	proxies, err := cluster.Healthy(t.Context(), t, "agents", "")
	if err != nil || len(proxies) == 0 {
		t.Fatalf("there is no proxy to the agents: %v", err)
	}
	for _, agent := range []string{"nomad", "consul"} {
		shoptest.Eventually(t, time.Minute, agent, func(ctx context.Context) error {
			series, err := query(ctx, fmt.Sprintf(`up{job=%q} == 1`, agent))
			if err == nil && len(series) != len(proxies) {
				err = fmt.Errorf("%d of %d machines tell how it is", len(series), len(proxies))
			}
			return err
		})
	}
	for _, proxy := range proxies {
		for _, path := range []string{"/v1/jobs", "/v1/kv/?recurse", "/v1/metrics/", "/v1/agent/self", "/"} {
			res, err := http.Get("http://" + cluster.HostPort(proxy) + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusNotFound {
				t.Errorf("%s is answered with %d", path, res.StatusCode)
			}
		}
	}
}

// A rule on a metric that nobody has is silent for ever: each that a rule names is measured. Metrics of what has not
// happened yet are not there before it does.
func TestEveryMetricOfTheRulesIsMeasured(t *testing.T) {
	later := regexp.MustCompile(`^(cache_announcements_total|db_calls_without_deadline_total|envoy_listener_ssl_certificate_expiration_unix_time_seconds|` +
		`limit_leases_total|http_requests_total|http_request_duration_seconds_(count|bucket))$`)
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Query string }
			}
		}
	}
	atPrometheus(t, "rules", &rules)
	quoted := regexp.MustCompile(`\{[^}]*\}|"[^"]*"|\b(by|on|without|ignoring|group_left|group_right) ?\([^)]*\)|\bslo:[a-z_]+:\w+`)
	name := regexp.MustCompile(`\b[a-z]+(?:_[a-zA-Z]+)+\b`)
	functions := regexp.MustCompile(`^(label_replace|group_left|[a-z]+_over_time)$`)
	wanted := map[string]bool{}
	for _, g := range rules.Data.Groups {
		for _, r := range g.Rules {
			for _, n := range name.FindAllString(quoted.ReplaceAllString(r.Query, ""), -1) {
				wanted[n] = !functions.MatchString(n) && !later.MatchString(n)
			}
		}
	}
	if len(wanted) < 30 {
		t.Fatalf("the rules name %d metrics", len(wanted))
	}
	shoptest.Eventually(t, time.Minute, "each metric that a rule names", func(context.Context) error {
		var names struct{ Data []string }
		atPrometheus(t, "label/__name__/values", &names)
		for n, measured := range wanted {
			if measured && !slices.Contains(names.Data, n) {
				return fmt.Errorf("nobody has %s", n)
			}
		}
		return nil
	})
}

// atPrometheus reads an answer of its API.
func atPrometheus(t *testing.T, path string, into any) {
	t.Helper()
	res, err := (&http.Client{Timeout: 10 * time.Second}).Get("http://127.0.0.1:9090/api/v1/" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

// What the rules of jobs/prometheus/rules/database.yml speak of comes from all members.
func TestTheDatabaseIsMeasured(t *testing.T) {
	for _, name := range []string{
		"patroni_primary", "patroni_postgres_running", "patroni_xlog_location", "patroni_xlog_replayed_location",
		"patroni_xlog_paused", "patroni_failsafe_mode_is_active",
	} {
		shoptest.Eventually(t, time.Minute, name, func(ctx context.Context) error {
			series, err := query(ctx, name)
			if err == nil && len(series) != 5 {
				err = fmt.Errorf("%d members tell it", len(series))
			}
			return err
		})
	}
}

// What the rules of jobs/prometheus/rules/batch.yml speak of: the runs of what runs by the clock.
func TestRunsAreMeasured(t *testing.T) {
	shoptest.Eventually(t, time.Minute, "a backup that is complete", func(ctx context.Context) error {
		series, err := query(ctx, `nomad_nomad_job_summary_complete{parent_id="backup"} == 1`)
		if err == nil && len(series) == 0 {
			err = errors.New("there is none")
		}
		return err
	})
}
