//go:build e2e

package e2e

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"bookstore/services/shoptest/cluster"
)

// id matches a value that is one of many: an id, a digest, an address. A label that carries such makes a series for each.
var id = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-|^[0-9a-fA-F]{16,}$|^\d{6,}$|^\d{1,3}(\.\d{1,3}){3}|/\d+(/|$)|/[0-9a-fA-F]{8}-`)

// sampleLabel matches a label of a sample.
var sampleLabel = regexp.MustCompile(`([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"`)

// The services' metrics keep Prometheus' conventions (what 'promtool check metrics' looks at), and no label has a value of
// which there are as many as requests, books or customers.
func TestMetricsKeepTheConventions(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	client := &http.Client{Timeout: 10 * time.Second}
	for _, service := range cluster.Services {
		instances, err := cluster.Healthy(t.Context(), t, service, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, instance := range instances {
			at := "http://" + instance.Service.Meta["metrics"] + "/metrics"
			res, err := client.Get(at)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
			_ = res.Body.Close()
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatalf("%s: status %d, %v", at, res.StatusCode, err)
			}
			requireConventions(t, service, text)
		}
	}
}

func requireConventions(t *testing.T, service string, text []byte) {
	t.Helper()
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatalf("%s: %v", service, err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s: %s", service, p.Metric, p.Text)
	}
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("#")) {
			continue
		}
		for _, label := range sampleLabel.FindAllSubmatch(line, -1) {
			if id.Match(label[2]) {
				t.Errorf("%s: the label %s has a value of its own: %s", service, label[1], bytes.TrimSpace(line))
			}
		}
	}
}
