package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"os"
	"sync"
	"time"

	"bookstore/services/gateway/limit"
	"bookstore/services/platform/fault"
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
	Name   string
	Role   Role
	Limits limit.Limits // zero: everybody's

	client string // token:<name>
}

// Client is the name that services and limits know the caller by.
func (i *Identity) Client() string { return i.client }

// Tokens knows the tokens of a file with lines
//
//	<name> <role> <token> [rate=<per second> burst=<requests> inflight=<requests>]
//
// Empty lines and lines that begin with # are passed over. The file is read
// again when it changes, so that a rotation needs no restart.
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

// Identify looks a token up.
func (t *Tokens) Identify(token string) (Identity, bool) {
	if found := t.Find([]byte(token)); found != nil {
		return *found, true
	}
	return Identity{}, false
}

// Find is Identify without an allocation: nil is nobody, and what it finds must
// not be changed. The time it takes does not tell how much of the token was
// right: digests are compared, all of them, in constant time.
func (t *Tokens) Find(token []byte) *Identity {
	digest := sha256.Sum256(token)
	var found *Identity
	known := t.current()
	for i := range known {
		if subtle.ConstantTimeCompare(digest[:], known[i].digest[:]) == 1 {
			found = &known[i].identity
		}
	}
	return found
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

func stampOf(path string) (fileStamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}, err
	}
	return fileStamp{modified: info.ModTime(), size: info.Size()}, nil
}
