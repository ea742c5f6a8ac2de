package gateway

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/web"
)

// hopByHop are headers that mean something to one connection only (RFC 9110).
var hopByHop = map[string]bool{
	"Connection": true, "Proxy-Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true,
	"Proxy-Authorization": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// ours are request headers that only the gateway may set, or that are for the
// gateway alone: a client's are dropped.
var ours = map[string]bool{
	web.HeaderCaller: true, "X-Operator": true, web.HeaderRequestID: true, web.HeaderClientRequestID: true, web.HeaderTimeout: true, headerClientAddress: true, headerStart: true,
	"Authorization": true, "Host": true, "Content-Length": true, "Expect": true,
}

// inside are headers of answers that are written here, or are not for clients.
var inside = map[string]bool{
	web.HeaderRequestID: true, web.HeaderClientRequestID: true, "Content-Length": true, "Server": true, headerHighest: true,
}

// kept tells whether a header goes on to the other side; named are those that
// the Connection header lists.
func kept(name string, named map[string]bool) bool {
	return !hopByHop[name] && !named[name] && !strings.HasPrefix(name, "X-Envoy-")
}

// requestHeaders are what an upstream gets to see of a request.
func requestHeaders(c *fiber.Ctx, caller *Identity) http.Header {
	named := connectionNames(c.Get(fiber.HeaderConnection))
	header := http.Header{}
	c.Request().Header.VisitAll(func(key, value []byte) {
		name := http.CanonicalHeaderKey(string(key))
		if kept(name, named) && !ours[name] && !strings.HasPrefix(name, "X-Forwarded-") {
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

// respondHead passes on what an answer begins with. Where nobody did the work,
// the ingress is told that this is final: the gateway has asked again as often as
// is good.
func respondHead(c *fiber.Ctx, a *upstreamAnswer) {
	named := connectionNames(a.header.Get("Connection"))
	for name, values := range a.header {
		if !kept(name, named) || inside[name] {
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
	if a.unserved() {
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
