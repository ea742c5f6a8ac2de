package coordinator

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strconv"
)

const gidLength = 32

var validGID = regexp.MustCompile(`^[a-z0-9]{1,64}$`)

// GID names an attempt: 32 hexadecimal digits derived from whose key it is,
// the key, and the number of the attempt, so that whoever repeats the request
// arrives at the same name without asking anyone. Each part is preceded by
// its length: no two different triples can run into one another.
func GID(caller, key string, attempt int) string {
	h := sha256.New()
	for _, part := range []string{caller, key, strconv.Itoa(attempt)} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil))[:gidLength]
}

// requestHash tells two requests under one Idempotency-Key apart. It is taken
// over what the request means (kind and decoded fields), not over its bytes:
// white space and the order of members do not make another request.
//
// This is version 1 of the hash. Stored hashes are compared with those of
// requests repeated up to 24 hours later, to coordinators that may be newer: a
// body that was valid before must keep its hash. So a new member of a request
// goes behind the others, with omitempty. A version 2 would have to be longer
// than 32 bytes, and Look would have to compare each hash by its version.
func requestHash(kind Kind, request any) []byte {
	body, err := json.Marshal(request)
	if err != nil {
		panic("coordinator: a request that was decoded from JSON does not encode: " + err.Error())
	}
	sum := sha256.Sum256(append([]byte(string(kind)+"\n"), body...))
	return sum[:]
}

// IsGID tells whether text could name a transaction.
func IsGID(text string) bool { return validGID.MatchString(text) }
