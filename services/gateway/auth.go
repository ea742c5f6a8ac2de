package gateway

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/fault"
)

// authorise finds out who calls and whether they may use the route. Without a
// token the caller is anonymous (a nil identity).
func (g *Gateway) authorise(c *fiber.Ctx, r Route) (*Identity, error) {
	header := c.Get(fiber.HeaderAuthorization)
	restricted := r.Access == Operators || (r.Access == Catalogue && g.options.OperatorForCatalogue)
	if header == "" {
		if restricted {
			return nil, unauthenticated(c, "this call needs an operator's token")
		}
		return nil, nil
	}
	identity, known := g.identify(header)
	switch {
	case restricted && (!known || identity.Role != Operator):
		return nil, fault.New(fault.Forbidden, "this token is not an operator's")
	case !known:
		return nil, unauthenticated(c, "this token is not known")
	}
	return &identity, nil
}

func (g *Gateway) identify(header string) (Identity, bool) {
	scheme, token, found := strings.Cut(header, " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return Identity{}, false
	}
	return g.options.Tokens.Identify(strings.TrimSpace(token))
}

func unauthenticated(c *fiber.Ctx, message string) error {
	c.Set(fiber.HeaderWWWAuthenticate, "Bearer")
	return fault.New(fault.Unauthenticated, message)
}
