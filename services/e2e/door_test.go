//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// raw sends a request as it is written, on a connection of its own that stays open.
func raw(t *testing.T, text string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", strings.TrimPrefix(shoptest.BaseURL(t), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, text) // the shop may have refused it by then
	return conn
}

func readAnswer(t *testing.T, conn net.Conn) *shoptest.Answer {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return &shoptest.Answer{Status: response.StatusCode, Header: response.Header, Body: text}
}

// No answer shows what is behind the ingress, and each has the security headers.
func TestAnswersShowNothingOfTheInside(t *testing.T) {
	c := shoptest.Shop(t)
	for path, keep := range map[string]string{
		"/books?limit=1": "private, max-age=1", "/orders?limit=1": "no-store", "/orders/1": "no-store", "/nowhere": "no-store", "/checkouts/1": "no-store",
	} {
		got := c.Do(t, shoptest.Call{Method: "GET", Path: path}).Header
		for name := range got {
			if strings.HasPrefix(name, "X-Envoy-") || name == "X-Caller" || name == "X-Highest-Book-Id" {
				t.Errorf("%s is answered with %s: %v", path, name, got)
			}
		}
		if got.Get("X-Content-Type-Options") != "nosniff" || got.Get("Cache-Control") != keep {
			t.Errorf("%s is answered with %v", path, got)
		}
	}
}

// Nobody normalises paths, and the gateway refuses what has another form: with a problem.
func TestPathsHaveOneSpelling(t *testing.T) {
	b := shoptest.Shop(t).AddBook(t, "Of one spelling", 1)
	for _, path := range []string{
		fmt.Sprintf("//books/%d", b.ID), fmt.Sprintf("/books/./%d", b.ID), fmt.Sprintf("/books//%d", b.ID), fmt.Sprintf("/x/../books/%d", b.ID),
		fmt.Sprintf("/books/%%3%d", b.ID%10), fmt.Sprintf("/books/%d%%00", b.ID), fmt.Sprintf("/books/%d%%zz", b.ID), fmt.Sprintf("/books/%d%%", b.ID), "/books/%2e%2e/internal",
	} {
		a := readAnswer(t, raw(t, "GET "+path+" HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"))
		if a.Status != http.StatusNotFound || a.Problem().Code == "" {
			t.Errorf("%s: %v", path, a)
		}
	}
}

// Unfinished bodies of a megabyte, by the hundred, to whatever path, leave the gateways' memory as it was, others are
// served, and the ingress, which holds such a body until it is refused, is rid of their connections soon.
func TestUnfinishedBodiesTakeNoMemory(t *testing.T) {
	c := shoptest.Shop(t)
	part := strings.Repeat("x", 900_000)
	for _, head := range []string{
		"POST /nowhere HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000000\r\n\r\n",
		"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000000\r\n\r\n",
		"POST /orders HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\nf4240\r\n",
		"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 65000\r\n\r\n",
	} {
		before := resident(t)
		for range 128 {
			if strings.Contains(head, "65000") {
				raw(t, head+part[:60_000])
				continue
			}
			raw(t, head+part)
		}
		for gateway, now := range resident(t) {
			if grown := now - before[gateway]; grown > 24<<20 {
				t.Errorf("%q: gateway %s has %.0f MiB more", head, gateway, grown/(1<<20))
			}
		}
		if a := c.Do(t, shoptest.Call{Method: "GET", Path: limited}); a.Status != http.StatusOK {
			t.Errorf("%q: another is answered %v", head, a)
		}
		shoptest.Eventually(t, 15*time.Second, "the ingress has closed the connections of unfinished bodies", func(ctx context.Context) error {
			ingress, err := cluster.MeasuredAt(ctx, t, "ingress", "envoy")
			for _, s := range ingress {
				if open := s.Sum("envoy_http_downstream_cx_active", `envoy_http_conn_manager_prefix="http"`); open > 32 {
					err = fmt.Errorf("%.0f are open", open)
				}
			}
			return err
		})
	}
}

func resident(t *testing.T) map[string]float64 {
	t.Helper()
	all, err := cluster.Measured(t.Context(), t, "gateway")
	if err != nil {
		t.Fatal(err)
	}
	bytes := map[string]float64{}
	for gateway, s := range all {
		bytes[gateway] = s.Sum("process_resident_memory_bytes")
	}
	return bytes
}

// One client gets at most four streams of each gateway; another client gets its own.
func TestAClientHasFewStreams(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Watched by many", 9)
	_, path := c.Begin(t, shoptest.StartCheckout("watcher", fmt.Sprintf("watch-%d", b.ID), "tok_ok", true, shoptest.OrderItem{BookID: b.ID, Quantity: 1}))
	defer c.Do(t, shoptest.Call{Method: "POST", Path: path + "/cancel"})
	follow := func(token string) int {
		ctx, leave := context.WithCancel(t.Context())
		t.Cleanup(leave)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, shoptest.BaseURL(t)+path+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		return res.StatusCode
	}
	all, err := cluster.Measured(t.Context(), t, "gateway")
	if err != nil {
		t.Fatal(err)
	}
	got := map[int]int{}
	for range 128 {
		got[follow("")]++
	}
	if most := 4 * len(all); got[http.StatusOK] > most || got[http.StatusOK] == 0 || got[http.StatusOK]+got[http.StatusTooManyRequests] != 128 {
		t.Errorf("of 128 streams from %d gateways %v", len(all), got)
	}
	if status := follow(c.Token); status != http.StatusOK {
		t.Errorf("another client is answered %d", status)
	}
}

// Whatever fails, a read is tried four times at most, by all who try again together.
func TestAReadIsTriedFourTimesAtMost(t *testing.T) {
	b := shoptest.Shop(t).AddBook(t, "Tried", 1)
	f := startFaulty(t)
	f.set(t, "503")
	for range 20 {
		before := f.calls(t)
		shoptest.Shop(t).Do(t, shoptest.Call{Method: "GET", Path: fmt.Sprintf("/books/%d/availability", b.ID)})
		if tries := f.calls(t) - before; tries > 4 {
			t.Errorf("one read came to the instance %d times", tries)
		}
	}
}
