package catalogue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Outcome is what became of one entry.
type Outcome int

// The outcomes. Refused means that the shop said no, for good: sending again will not help.
const (
	Created Outcome = iota
	Updated
	Unchanged
	Refused
)

// Client puts entries into a shop.
type Client struct {
	base     string
	token    string
	http     *http.Client
	attempts int           // tries of one call before giving up
	backoff  time.Duration // wait after the first failed try; doubles up to maxBackoff
}

// The bounds of one call: about half a minute of trying in all.
const (
	callTimeout = 10 * time.Second
	maxBackoff  = 5 * time.Second
	maxAnswer   = 1 << 20
)

// NewClient talks to the shop at base ("http://127.0.0.1:8080"). An empty token sends none.
func NewClient(base, token string, connections int) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("base address %q is not http(s)://host[:port]", base)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: connections}
	return &Client{
		base: strings.TrimRight(base, "/"), token: token, attempts: 8, backoff: 100 * time.Millisecond,
		http: &http.Client{Timeout: callTimeout, Transport: transport},
	}, nil
}

// book is the wire form of an Entry.
type book struct {
	ISBN          string   `json:"isbn,omitempty"`
	Title         string   `json:"title"`
	Authors       []string `json:"authors"`
	PublishedYear *int     `json:"publishedYear,omitempty"`
	Language      string   `json:"language,omitempty"`
	PriceCents    int64    `json:"priceCents"`
	Currency      string   `json:"currency"`
	Quantity      int64    `json:"quantity"`
}

func wire(e Entry) book {
	authors := e.Authors
	if authors == nil {
		authors = []string{}
	}
	return book{
		ISBN: e.ISBN, Title: e.Title, Authors: authors, PublishedYear: e.PublishedYear, Language: e.Language,
		PriceCents: PriceCents(e.SourceID), Currency: Currency, Quantity: Quantity(e.SourceID),
	}
}

// Problem is a refusal of the shop, RFC 9457.
type Problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Errors []struct {
		Field  string `json:"field"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
	} `json:"errors"`
}

func (p *Problem) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d %s", p.Status, p.Code)
	if p.Detail != "" {
		text.WriteString(": " + p.Detail)
	}
	for _, e := range p.Errors {
		fmt.Fprintf(&text, "; %s: %s", e.Field, e.Detail)
	}
	return text.String()
}

// names reports whether the problem is about one field.
func (p *Problem) names(field string) bool {
	for _, e := range p.Errors {
		if e.Field == field {
			return true
		}
	}
	return false
}

// Put creates or updates the entry's book. A *Problem is the shop's refusal of this entry;
// any other error means that no answer was to be had within the bounds.
func (c *Client) Put(ctx context.Context, e Entry) (Outcome, error) {
	body, err := json.Marshal(wire(e))
	if err != nil {
		return Refused, fmt.Errorf("encode the book: %w", err)
	}
	wait := c.backoff
	for attempt := 1; ; attempt++ {
		outcome, retryAfter, err := c.once(ctx, e.SourceID, body)
		var p *Problem
		if err == nil || (errors.As(err, &p) && !transient(p.Status)) {
			return outcome, err
		}
		if attempt == c.attempts {
			// Hide the problem's type: a shop that is too busy has not refused the book.
			return Refused, fmt.Errorf("no answer in %d attempts, the last: %s", attempt, err.Error())
		}
		pause := max(wait/2+rand.N(wait), min(retryAfter, maxBackoff))
		if err := sleep(ctx, pause); err != nil {
			return Refused, err
		}
		wait = min(2*wait, maxBackoff)
	}
}

func transient(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// once makes one call.
func (c *Client) once(ctx context.Context, sourceID string, body []byte) (Outcome, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut,
		c.base+"/books/by-source/"+url.PathEscape(sourceID), bytes.NewReader(body))
	if err != nil {
		return Refused, 0, fmt.Errorf("build the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	sent := time.Now()
	res, err := c.http.Do(req)
	if err != nil {
		return Refused, 0, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return Refused, 0, fmt.Errorf("read the answer: %w", err)
	}
	switch res.StatusCode {
	case http.StatusCreated:
		return Created, 0, nil
	case http.StatusOK:
		return changed(res.Header, answer, sent), 0, nil
	}
	seconds, _ := strconv.Atoi(res.Header.Get("Retry-After")) // absent or a date: the backoff alone
	p := &Problem{}
	_ = json.Unmarshal(answer, p) // something other than the shop answered: the status says enough
	p.Status = res.StatusCode
	return Refused, time.Duration(seconds) * time.Second, p
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// changed tells an update from a repeat that found everything as it was: the book's last
// change then lies before this call. The change was dated by the shop's clock, so where
// that is not ours the shop's own Date, which has no fractions of a second, must do.
func changed(header http.Header, answer []byte, sent time.Time) Outcome {
	const skew = 250 * time.Millisecond // between machines whose clocks are kept
	var b struct {
		UpdatedAt time.Time `json:"updatedAt"`
	}
	theirs, err := http.ParseTime(header.Get("Date"))
	if err != nil || json.Unmarshal(answer, &b) != nil || b.UpdatedAt.IsZero() {
		return Updated
	}
	ours := time.Now()
	begin := sent.Add(-skew)
	if theirs.Sub(ours).Abs() > 2*time.Second {
		begin = theirs.Add(sent.Sub(ours) - 2*time.Second)
	}
	if b.UpdatedAt.Before(begin) {
		return Unchanged
	}
	return Updated
}
