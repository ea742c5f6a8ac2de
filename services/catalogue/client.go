package catalogue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"bookstore/services/platform/wait"
)

// Outcome is what became of one entry.
type Outcome int

// The outcomes. Refused is final: sending the entry again gets the same answer.
const (
	Created Outcome = iota
	Updated
	Unchanged
	Withdrawn // deleted by people, and left so
	Refused
)

// Result is an outcome with the fields that people edited since the last import, by the
// shop's names: the edits stay.
type Result struct {
	Outcome   Outcome
	Kept      []string // the file has not changed them since
	Conflicts []string // the file has changed them too
}

// Client puts entries into a shop.
type Client struct {
	base     string
	token    string
	http     *http.Client
	attempts int // of one call, at most
	backoff  wait.Backoff
}

// The bounds of one call.
const (
	callTimeout   = 10 * time.Second
	maxRetryAfter = time.Minute // a longer Retry-After ends the call
	maxAnswer     = 1 << 20
)

// NewClient talks to the shop at base ("http://127.0.0.1:8080"). An empty token sends none.
func NewClient(base, token string, connections int) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("base address %q is not http(s)://host[:port]", base)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: connections}
	return &Client{
		base: strings.TrimRight(base, "/"), token: token, attempts: 8, backoff: wait.Backoff{First: 200 * time.Millisecond, Most: 5 * time.Second},
		http: &http.Client{Timeout: callTimeout, Transport: transport},
	}, nil
}

// Close closes the connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// book is the wire form of an Entry.
type book struct {
	ISBN          string   `json:"isbn,omitempty"`
	Title         string   `json:"title"`
	Authors       []string `json:"authors"`
	PublishedYear *int     `json:"publishedYear,omitempty"`
	Language      string   `json:"language,omitempty"`

	// For a new book: files state neither.
	PriceCents     int64  `json:"priceCents"`
	Currency       string `json:"currency"`
	PriceIsInitial bool   `json:"priceIsInitial"`
	Quantity       int64  `json:"quantity"`
}

func wire(e Entry) book {
	authors := e.Authors
	if authors == nil {
		authors = []string{}
	}
	return book{
		ISBN: e.ISBN, Title: e.Title, Authors: authors, PublishedYear: e.PublishedYear, Language: e.Language,
		PriceCents: PriceCents(e.SourceID), Currency: Currency, PriceIsInitial: true, Quantity: Quantity(e.SourceID),
	}
}

// Currency of the derived prices, ISO 4217.
const Currency = "EUR"

// PriceCents invents a price for a book, since catalogue files have none: 4.99 to 39.99 in
// whole steps, the same for one source id on every machine and in every run.
func PriceCents(sourceID string) int64 {
	return 499 + 100*int64(hash64("price/"+sourceID)%36)
}

// Quantity invents the copies in stock at the first load: 20 to 119.
func Quantity(sourceID string) int64 {
	return 20 + int64(hash64("stock/"+sourceID)%100)
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
// any other error means that there was no answer within the bounds, or that ctx ended
// between two attempts. Put waits for a call that is in flight when ctx ends, since its
// outcome would not be known otherwise.
func (c *Client) Put(ctx context.Context, e Entry) (Result, error) {
	body, err := json.Marshal(wire(e))
	if err != nil {
		return Result{}, fmt.Errorf("encode the book: %w", err)
	}
	for attempt := 1; ; attempt++ {
		result, retryAfter, err := c.once(context.WithoutCancel(ctx), e.SourceID, body)
		var p *Problem
		if err == nil || (errors.As(err, &p) && !transient(p.Status)) {
			return result, err
		}
		if attempt == c.attempts || retryAfter > maxRetryAfter {
			// Hide the problem's type: a shop that is too busy has not refused the book.
			return Result{}, fmt.Errorf("no answer in %d attempts, the last: %s", attempt, err.Error())
		}
		if !wait.For(ctx, max(c.backoff.Spread(attempt), retryAfter)) {
			return Result{}, ctx.Err()
		}
	}
}

// transient tells whether the call may be sent again: its outcome is unknown, or the shop
// asks for a retry. A PUT is idempotent.
func transient(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	}
	return status >= http.StatusInternalServerError
}

// once makes one call. The id goes into the query: proxies refuse or rewrite a path that
// has a slash or dots in it, encoded or not.
func (c *Client) once(ctx context.Context, sourceID string, body []byte) (Result, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut,
		c.base+"/books/by-source?sourceId="+url.QueryEscape(sourceID), bytes.NewReader(body))
	if err != nil {
		return Result{}, 0, fmt.Errorf("build the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return Result{}, 0, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return Result{}, 0, fmt.Errorf("read the answer: %w", err)
	}
	result := Result{Kept: list(res.Header, "X-Import-Kept"), Conflicts: list(res.Header, "X-Import-Conflicts")}
	switch res.StatusCode {
	case http.StatusCreated:
		result.Outcome = Created
		return result, 0, nil
	case http.StatusOK:
		result.Outcome = Unchanged
		if len(list(res.Header, "X-Import-Changed")) > 0 {
			result.Outcome = Updated
		}
		return result, 0, nil
	case http.StatusGone:
		return Result{Outcome: Withdrawn}, 0, nil
	}
	p := &Problem{}
	_ = json.Unmarshal(answer, p) // something other than the shop answered: the status says enough
	p.Status = res.StatusCode
	return Result{}, retryAfter(res.Header.Get("Retry-After"), time.Now()), p
}

// list reads a header that is a list; nil when it is absent.
func list(header http.Header, name string) []string {
	return strings.FieldsFunc(header.Get(name), func(r rune) bool { return r == ',' || r == ' ' })
}

// retryAfter reads Retry-After, which is a number of seconds or a time; 0 when it is absent.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil {
		return time.Duration(max(0, seconds)) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
