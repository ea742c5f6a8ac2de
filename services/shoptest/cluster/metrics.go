package cluster

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Samples are one instance's metrics, each by its name and labels as they stand there.
type Samples map[string]float64

// Sum adds what bears this name and these labels.
func (s Samples) Sum(name string, labels ...string) (total float64) {
	for sample, value := range s {
		given, rest, _ := strings.Cut(sample, "{")
		missing := func(label string) bool { return !strings.Contains(","+rest, ","+label) }
		if given == name && !slices.ContainsFunc(labels, missing) {
			total += value
		}
	}
	return total
}

// Measured reads the metrics of every healthy instance of a service.
func Measured(ctx context.Context, t testing.TB, service string) (map[string]Samples, error) {
	t.Helper()
	return MeasuredAt(ctx, t, service, "metrics")
}

// MeasuredAt reads them at the address in this field of the instances' metadata: metrics, or envoy for the sidecar's.
func MeasuredAt(ctx context.Context, t testing.TB, service, field string) (map[string]Samples, error) {
	t.Helper()
	entries, err := Healthy(ctx, t, service, "")
	if err != nil {
		return nil, err
	}
	all := map[string]Samples{}
	for _, e := range entries {
		if all[e.Service.ID], err = scrape(ctx, e.Service.Meta[field]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func scrape(ctx context.Context, address string) (Samples, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	found := Samples{}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		at := strings.LastIndexByte(lines.Text(), ' ')
		if at < 0 || lines.Text()[0] == '#' {
			continue
		}
		value, err := strconv.ParseFloat(lines.Text()[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", lines.Text(), err)
		}
		found[lines.Text()[:at]] = value
	}
	return found, lines.Err()
}
