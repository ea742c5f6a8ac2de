package fence

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// Answer is what a member says to a question.
type Answer int

// The answers.
const (
	None    Answer = iota // silence: nothing came within the time given
	Standby               // it does not lead, or nobody listens: a dead member is not a silent one
	Leader                // it says that it leads
)

// Member is Patroni's REST API, by its base URL. Client keeps no connection: that would hide that no new one is taken.
type Member struct {
	URL    string
	Client *http.Client
}

// Probe puts a question that Patroni answers only after PostgreSQL has answered one: a member
// of which either stands still is silent.
func (m Member) Probe(ctx context.Context, patience time.Duration) Answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	status, err := m.get(ctx)
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return None
	case err == nil && status == http.StatusOK:
		return Leader
	default:
		return Standby
	}
}

func (m Member) get(ctx context.Context) (status int, err error) {
	response, err := m.open(ctx, "/primary")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

func (m Member) open(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.URL+path, nil)
	if err != nil {
		return nil, err
	}
	return m.Client.Do(request)
}
