package lab

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"bookstore/services/platform/wait"
)

// probeEvery is the pause between two looks at something that is awaited.
const probeEvery = 20 * time.Millisecond

// Ready returns when the named services, or all that run, take requests.
func (s *Shop) Ready(ctx context.Context, names ...Service) error {
	if len(names) == 0 {
		names = s.options.Services
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Second}
	for _, name := range names {
		err := Until(ctx, func(ctx context.Context) error {
			if !s.Running(name) {
				return fmt.Errorf("%s does not run", name)
			}
			return probe(ctx, client, s.URL(name)+"/ready")
		})
		if err != nil {
			return fmt.Errorf("%s is not ready: %w", name, err)
		}
	}
	return nil
}

func probe(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// Until polls check until it returns nil, or until ctx ends (wait.Until).
func Until(ctx context.Context, check func(context.Context) error) error {
	return wait.Until(ctx, probeEvery, check)
}

// position is where a text begins in a log; -1: nowhere.
func position(log, text string) int { return strings.Index(log, text) }
