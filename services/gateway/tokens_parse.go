package gateway

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"bookstore/services/gateway/limit"
)

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

// parseToken reads the words of a line. Its errors don't repeat them: one is a
// secret.
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
