package acme

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"bookstore/services/platform/dial"
	"bookstore/services/platform/wait"
)

// An ingress answers a challenge some seconds after it is stored: Nomad waits for five without a change before it renders.
const (
	answerWithin = time.Minute
	askEvery     = 500 * time.Millisecond
	askTimeout   = 5 * time.Second
)

// answered waits until an ingress answers a challenge as it should. A directory that asks too early would count that as a
// failure, of which few are allowed.
func answered(ctx context.Context, url, want string) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	client := &http.Client{
		Timeout:       askTimeout,
		Transport:     &http.Transport{DialContext: dial.Dialer(askTimeout).DialContext, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for {
		err := ask(ctx, client, url, want)
		if err == nil {
			return nil
		}
		if !wait.For(ctx, askEvery) {
			return fmt.Errorf("it does not answer the challenge within %s: %w", answerWithin, err)
		}
	}
}

func ask(ctx context.Context, client *http.Client, url, want string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(len(want))+1))
	if err == nil && (response.StatusCode != http.StatusOK || string(body) != want) {
		err = fmt.Errorf("it answers %s", response.Status)
	}
	return err
}
