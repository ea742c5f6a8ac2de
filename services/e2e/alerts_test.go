//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
	"bookstore/services/shoptest/webhook"
)

const alertmanager = "http://127.0.0.1:9093"

// tell runs 'shop alerts' with a value at its standard input.
func tell(ctx context.Context, value string, args ...string) error {
	cmd := cluster.OperatorCommand(ctx, append([]string{"alerts"}, args...)...)
	cmd.Stdin = strings.NewReader(value)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("shop alerts %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// told has alerts of the shop told to a webhook of this test's, until it ends. It listens where every container may call.
func told(t *testing.T) *webhook.Receiver {
	t.Helper()
	node, _, err := net.SplitHostPort(instance(t, "patroni"))
	if err != nil {
		t.Fatal(err)
	}
	before := variable(t, "nomad/jobs/alertmanager")["webhook_url"]
	to := webhook.Listen(t, free(t, node))
	if err := tell(t.Context(), to.URL, "set", "webhook_url"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		args := []string{"set", "webhook_url"}
		if before == "" {
			args[0] = "unset"
		}
		if err := tell(context.Background(), before, args...); err != nil {
			t.Error(err)
		}
	})
	return to
}

// free is a port of the address that nobody listens at, of those that Nomad gives out, from the end that it uses least.
func free(t *testing.T, address string) string {
	t.Helper()
	for port := 31999; port > 31900; port-- {
		at := net.JoinHostPort(address, strconv.Itoa(port))
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", at)
		if err == nil {
			_ = listener.Close()
			return at
		}
	}
	t.Fatalf("no port of %s is free", address)
	return ""
}

// atAlertmanager calls its API as Prometheus does.
func atAlertmanager(ctx context.Context, t *testing.T, method, path string, body any) error {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, alertmanager+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth("operator", variable(t, "nomad/jobs/alertmanager")["password"])
	res, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: status %d", method, path, res.StatusCode)
	}
	return nil
}

// An alert is told to whom the operator named, with what to do, and again when it is over.
func TestAnAlertIsTold(t *testing.T) { //nolint:paralleltest // it changes who is told
	to := told(t)
	fire := func(ctx context.Context, ends time.Time) error {
		return atAlertmanager(ctx, t, http.MethodPost, "/api/v2/alerts", []map[string]any{{
			"labels":      map[string]string{"alertname": "TestAnAlertIsTold", "severity": "critical"},
			"annotations": map[string]string{"summary": "this is a test"}, "endsAt": ends,
		}})
	}
	for _, status := range []string{"firing", "resolved"} {
		shoptest.Eventually(t, 3*time.Minute, "the alert is told as "+status, func(ctx context.Context) error {
			ends := time.Now()
			if status == "firing" {
				ends = ends.Add(time.Hour)
			}
			if err := fire(ctx, ends); err != nil {
				return err
			}
			last, ok := to.Last("TestAnAlertIsTold", nil)
			if !ok || last.Status != status || last.Annotations["summary"] != "this is a test" {
				return fmt.Errorf("told is %+v", last)
			}
			return nil
		})
	}
}

// Prometheus reaches the Alertmanager of its machine, by its password; nobody does without one.
func TestPrometheusReachesAlertmanager(t *testing.T) {
	shoptest.Eventually(t, time.Minute, "Alertmanager is scraped", func(ctx context.Context) error {
		series, err := query(ctx, `up{job="alertmanager"} == 1 and on () prometheus_notifications_alertmanagers_discovered == 1`)
		if err == nil && len(series) != 1 {
			err = fmt.Errorf("%v", series)
		}
		return err
	})
	for _, path := range []string{"/", "/metrics", "/api/v2/alerts"} {
		res, err := http.Get(alertmanager + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a password: status %d", path, res.StatusCode)
		}
	}
}
