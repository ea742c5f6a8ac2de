package gateway

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"bookstore/services/kit/fault"
)

// Role is what a token allows.
type Role string

// The roles.
const (
	Operator Role = "operator" // everything
	Client   Role = "client"   // what anyone may do, under a name and limits of its own
)

// Identity is who a token stands for.
type Identity struct {
	Name string
	Role Role
}

// Tokens knows the tokens of a file with lines `<name> <role> <token>`; empty
// lines and lines that begin with # are passed over. The file is read again
// when it changes, so that a rotation needs no restart.
type Tokens struct {
	path string

	mu      sync.Mutex
	stamp   fileStamp
	checked time.Time
	known   []knownToken
}

type knownToken struct {
	digest   [sha256.Size]byte
	identity Identity
}

type fileStamp struct {
	modified time.Time
	size     int64
}

// stampEvery is how long a look at the file holds.
const stampEvery = time.Second

var tokenName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// NewTokens reads the file at path; an empty path knows no tokens.
func NewTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	if path == "" {
		return t, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t, t.load()
}

// Identify looks a token up. The time it takes does not tell how much of the
// token was right: digests are compared, all of them, in constant time.
func (t *Tokens) Identify(token string) (Identity, bool) {
	digest := sha256.Sum256([]byte(token))
	var found Identity
	match := 0
	for _, k := range t.current() {
		if subtle.ConstantTimeCompare(digest[:], k.digest[:]) == 1 {
			found, match = k.identity, 1
		}
	}
	return found, match == 1
}

// current returns the tokens of the file as it is now; a file that cannot be
// read leaves those known before.
func (t *Tokens) current() []knownToken {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.path == "" || time.Since(t.checked) < stampEvery {
		return t.known
	}
	t.checked = time.Now()
	if stamp, err := stampOf(t.path); err == nil && stamp != t.stamp {
		// A half-written file is read again a second later.
		_ = t.load()
	}
	return t.known
}

// load replaces the known tokens; the caller holds mu.
func (t *Tokens) load() error {
	stamp, err := stampOf(t.path)
	if err != nil {
		return fault.Wrap("read tokens", err)
	}
	content, err := os.ReadFile(t.path)
	if err != nil {
		return fault.Wrap("read tokens", err)
	}
	known, err := parseTokens(content)
	if err != nil {
		return fault.Wrap("read tokens", err)
	}
	t.known, t.stamp, t.checked = known, stamp, time.Now()
	return nil
}

func parseTokens(content []byte) ([]knownToken, error) {
	var known []knownToken
	lines := bufio.NewScanner(bytes.NewReader(content))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Fields(line)
		if len(parts) != 3 || !tokenName.MatchString(parts[0]) || (Role(parts[1]) != Operator && Role(parts[1]) != Client) {
			return nil, fmt.Errorf("line %d is not <name> <operator|client> <token>", number)
		}
		known = append(known, knownToken{
			digest:   sha256.Sum256([]byte(parts[2])),
			identity: Identity{Name: parts[0], Role: Role(parts[1])},
		})
	}
	return known, lines.Err()
}

func stampOf(path string) (fileStamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}, err
	}
	return fileStamp{modified: info.ModTime(), size: info.Size()}, nil
}
