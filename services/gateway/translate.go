package gateway

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

// target is where a request goes: the upstream's address with the path and
// query as the client wrote them.
func target(base *url.URL, path, query string) (*url.URL, error) {
	decoded, err := url.PathUnescape(path)
	if err != nil || !plain(path, decoded) {
		return nil, fault.New(fault.NotFound, "there is no such path")
	}
	u := *base
	u.Path, u.RawPath, u.RawQuery = decoded, path, query
	return &u, nil
}

// plain tells whether every proxy on the way reads a path alike. The routes
// were matched on the path as written; a proxy that resolves dots or encoded
// slashes could come to another path, such as an internal one.
func plain(written, decoded string) bool {
	lower := strings.ToLower(written)
	for _, odd := range []string{"%2f", "%5c", "%2e", "\\", "//", "%00"} {
		if strings.Contains(lower, odd) {
			return false
		}
	}
	for segment := range strings.SplitSeq(decoded, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

// hopByHop are headers that mean something to one connection only (RFC 9110).
var hopByHop = map[string]bool{
	"Connection": true, "Proxy-Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true,
	"Proxy-Authorization": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// notPassedOn are request headers that only the gateway may set, or that are for
// the gateway alone: a client's are dropped.
var notPassedOn = map[string]bool{
	web.HeaderCaller: true, "X-Operator": true, web.HeaderRequestID: true, web.HeaderClientRequestID: true, web.HeaderTimeout: true, headerClientAddress: true, headerStart: true,
	"Authorization": true, "Host": true, "Content-Length": true, "Expect": true,
}

// notForClients are headers of answers that the gateway writes itself, or that clients do not get.
var notForClients = map[string]bool{
	web.HeaderRequestID: true, web.HeaderClientRequestID: true, "Content-Length": true, "Server": true, headerHighest: true,
}

// endToEnd tells whether a header is passed on; listed are the names in the
// Connection header.
func endToEnd(name string, listed map[string]bool) bool {
	return !hopByHop[name] && !listed[name] && !strings.HasPrefix(name, "X-Envoy-")
}

// requestHeaders are the headers that an upstream gets.
func requestHeaders(c *fiber.Ctx, caller *Identity) http.Header {
	listed := connectionNames(c.Get(fiber.HeaderConnection))
	header := http.Header{}
	c.Request().Header.VisitAll(func(key, value []byte) {
		name := http.CanonicalHeaderKey(string(key))
		if endToEnd(name, listed) && !notPassedOn[name] && !strings.HasPrefix(name, "X-Forwarded-") {
			header.Add(name, string(value))
		}
	})
	header.Set(web.HeaderRequestID, web.RequestID(web.Context(c)))
	if theirs := c.GetRespHeader(web.HeaderClientRequestID); theirs != "" {
		header.Set(web.HeaderClientRequestID, theirs)
	}
	if caller != nil {
		header.Set(web.HeaderCaller, caller.Client())
	}
	if header.Get("User-Agent") == "" {
		header.Set("User-Agent", "") // or the transport names itself
	}
	return header
}

// respond passes an upstream's whole answer on.
func respond(c *fiber.Ctx, a *upstreamAnswer) error {
	respondHead(c, a)
	return c.Send(a.body)
}

// respondHead passes on status and headers of an answer. A 502, 503 or 504 is
// marked as final for the ingress, since the gateway has retried already.
func respondHead(c *fiber.Ctx, a *upstreamAnswer) {
	listed := connectionNames(a.header.Get("Connection"))
	for name, values := range a.header {
		if !endToEnd(name, listed) || notForClients[name] {
			continue
		}
		for i, value := range values {
			if i == 0 {
				c.Set(name, value)
			} else {
				c.Response().Header.Add(name, value)
			}
		}
	}
	if a.gatewayError() {
		c.Set(web.HeaderFinal, "true")
	}
	c.Status(a.status)
}

func connectionNames(header string) map[string]bool {
	if header == "" {
		return nil
	}
	names := map[string]bool{}
	for name := range strings.SplitSeq(header, ",") {
		names[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
	}
	return names
}
