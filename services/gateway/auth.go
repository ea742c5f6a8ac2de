package gateway

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/gateway/limit"
	"bookstore/services/platform/fault"
)

// authorise identifies the caller and checks that it may use the route. Without
// a token the caller is anonymous (a nil identity).
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

// Role is what a token allows.
type Role string

// The roles.
const (
	Operator Role = "operator" // everything
	Client   Role = "client"   // what anyone may do, under a name and limits of its own
)

// Identity is who a token stands for.
type Identity struct {
	Name   string
	Role   Role
	Limits limit.Limits // zero: everybody's

	client string // token:<name>
}

// Client is the caller's name to services and limits.
func (i *Identity) Client() string { return i.client }

// Tokens are the tokens of a file with lines
//
//	<name> <role> <token> [rate=<per second> burst=<requests> inflight=<requests>]
//
// Empty lines and lines that begin with # are skipped. The file is read again
// when it changes, so that a rotation needs no restart.
type Tokens struct{ known *watched[[]knownToken] }

type knownToken struct {
	digest   [sha256.Size]byte
	identity Identity
}

// NewTokens reads the file at path; an empty path knows no tokens.
func NewTokens(path string) (*Tokens, error) {
	known, err := watch(path, parseTokens)
	if err != nil {
		return nil, fault.Wrap("read tokens", err)
	}
	return &Tokens{known}, nil
}

// Identify looks a token up.
func (t *Tokens) Identify(token string) (Identity, bool) {
	if found := t.Find([]byte(token)); found != nil {
		return *found, true
	}
	return Identity{}, false
}

// Find is Identify without an allocation. It returns nil for an unknown token,
// and the identity must not be changed. It compares all digests in constant
// time, so that the time it takes tells nothing about a token.
func (t *Tokens) Find(token []byte) *Identity {
	digest := sha256.Sum256(token)
	var found *Identity
	known := t.known.current()
	for i := range known {
		if subtle.ConstantTimeCompare(digest[:], known[i].digest[:]) == 1 {
			found = &known[i].identity
		}
	}
	return found
}

var tokenName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func parseTokens(content []byte) ([]knownToken, error) {
	var known []knownToken
	lines := bufio.NewScanner(bytes.NewReader(content))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		one, err := parseToken(strings.Fields(line))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		known = append(known, one)
	}
	return known, lines.Err()
}

// parseToken reads the words of a line. Its errors do not contain them, since
// one is a secret.
func parseToken(words []string) (knownToken, error) {
	if len(words) < 3 || !tokenName.MatchString(words[0]) || (Role(words[1]) != Operator && Role(words[1]) != Client) {
		return knownToken{}, fmt.Errorf("is not <name> <%s|%s> <token>", Operator, Client)
	}
	limits, err := parseLimits(words[3:])
	if err != nil {
		return knownToken{}, err
	}
	return knownToken{
		digest:   sha256.Sum256([]byte(words[2])),
		identity: Identity{Name: words[0], Role: Role(words[1]), Limits: limits, client: "token:" + words[0]},
	}, nil
}

// parseLimits reads all three limits, or none.
func parseLimits(words []string) (limit.Limits, error) {
	if len(words) == 0 {
		return limit.Limits{}, nil
	}
	given := map[string]string{}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		given[name] = value
	}
	rate, err := strconv.ParseFloat(given["rate"], 64)
	burst, errBurst := strconv.Atoi(given["burst"])
	inFlight, errInFlight := strconv.Atoi(given["inflight"])
	limits := limit.Limits{Rate: rate, Burst: burst, InFlight: inFlight}
	if len(words) != 3 || err != nil || errBurst != nil || errInFlight != nil || limits.Validate() != nil {
		return limit.Limits{}, errors.New("what follows the token is not rate=… burst=… inflight=…, all above 0")
	}
	return limits, nil
}
