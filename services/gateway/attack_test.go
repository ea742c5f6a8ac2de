package gateway_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"bookstore/services/gateway/limit"
)

// The attack: from one address, bodies by the hundred that say that they are a
// megabyte and never end, to whatever path. Memory stays flat, and others are
// served meanwhile.
func TestUnfinishedBodiesTakeNothingFromOthers(t *testing.T) {
	s := open(t, options{limits: limit.Limits{Rate: 1e6, Burst: 1e6, InFlight: 64}})
	base, _ := s.listen(t)
	part := strings.Repeat("x", 60_000)
	for name, head := range map[string]string{
		"no such path":    "POST /nowhere HTTP/1.1\r\nContent-Length: 1000000\r\n",
		"not allowed":     "GET /transactions HTTP/1.1\r\nContent-Length: 1000000\r\n",
		"too large":       "POST /orders HTTP/1.1\r\nContent-Length: 1000000\r\n",
		"in chunks":       "POST /orders HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
		"a lying length":  "POST /orders HTTP/1.1\r\nContent-Length: 65000\r\n",
		"with a key":      "POST /orders HTTP/1.1\r\nIdempotency-Key: k\r\nContent-Length: 65000\r\n",
		"a wrong method":  "BREW /orders HTTP/1.1\r\nContent-Length: 1000000\r\n",
		"waits for a 100": "POST /nowhere HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			before := heap()
			for range 128 {
				conn := dial(t, base)
				sent := head + "Host: a\r\nX-Client-Address: 192.0.2.1\r\n\r\n"
				if strings.Contains(head, "chunked") {
					sent += "f4240\r\n"
				}
				_, _ = io.WriteString(conn, sent+part) // it may have been refused by then
			}
			if grown := int64(heap()) - int64(before); grown > 16<<20 {
				t.Errorf("the heap grew by %d KiB", grown>>10)
			}
			conn := dial(t, base)
			if _, err := io.WriteString(conn, "POST /orders HTTP/1.1\r\nHost: a\r\nX-Client-Address: 192.0.2.2\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
				t.Fatal(err)
			}
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Errorf("another client was answered %d", response.StatusCode)
			}
		})
	}
}

func dial(t *testing.T, base string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
