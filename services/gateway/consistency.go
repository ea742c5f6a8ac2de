package gateway

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

const (
	// leastKey is how many characters a key must have.
	leastKey = 32
	// signatureSize is how many bytes of an HMAC a token carries.
	signatureSize = 16
)

// unsigned is a token from before tokens were signed.
var unsigned = regexp.MustCompile(`^[A-Za-z0-9_-]{28}$`)

// signer signs the consistency tokens that services give to clients, and knows its own again: a service trusts the position
// in a token, and one from the future would make each list wait for it. The keys are the words of a file. The first one
// signs, and all are known, so that a key is known to every gateway before one signs with it.
type signer struct{ keys *watched[[][]byte] }

// newSigner reads the keys at path; with an empty path tokens are passed on as they are.
func newSigner(path string) (*signer, error) {
	keys, err := watch(path, parseKeys)
	if err != nil {
		return nil, fault.Wrap("read the keys of consistency tokens", err)
	}
	return &signer{keys}, nil
}

// parseKeys reads a key from each line. Its errors do not contain them.
func parseKeys(content []byte) ([][]byte, error) {
	keys := bytes.Fields(content)
	if len(keys) == 0 {
		return nil, errors.New("there is no key")
	}
	for _, key := range keys {
		if len(key) < leastKey {
			return nil, errors.New("a key is too short")
		}
	}
	return keys, nil
}

// sign signs the token in the headers of a service's answer.
func (s *signer) sign(header http.Header) {
	keys, token := s.keys.current(), header.Get(web.HeaderConsistency)
	if len(keys) > 0 && token != "" {
		header.Set(web.HeaderConsistency, token+"."+signature(keys[0], token))
	}
}

// check puts the service's own token in the place of a client's in the headers of a request. One from before tokens were
// signed counts as none.
func (s *signer) check(header http.Header) error {
	keys, given := s.keys.current(), header.Get(web.HeaderConsistency)
	if len(keys) == 0 || given == "" {
		return nil
	}
	header.Del(web.HeaderConsistency)
	token, signed, _ := strings.Cut(given, ".")
	for _, key := range keys {
		if hmac.Equal([]byte(signed), []byte(signature(key, token))) {
			header.Set(web.HeaderConsistency, token)
			return nil
		}
	}
	if unsigned.MatchString(given) {
		return nil
	}
	f := fault.New(fault.MalformedRequest, "the "+web.HeaderConsistency+" header is not a token of this API")
	f.Fields = []fault.Field{{Field: web.HeaderConsistency, Code: "invalid", Detail: "must be as an answer to a write gave it"}}
	return f
}

func signature(key []byte, token string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(token))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:signatureSize])
}
