package pg

import (
	"encoding/base64"
	"encoding/binary"

	"bookstore/services/platform/fault"
)

// tokenHeader is web.HeaderConsistency: what a refusal names.
const tokenHeader = "X-Consistency-Token"

// Position is a place in a cluster's write-ahead log. Its text is what clients
// get as consistency token: it says nothing to them.
type Position struct {
	System   uint64 // which cluster: its system identifier; 0 is none
	Timeline uint32 // grows with every failover
	LSN      uint64 // bytes of log
}

// positionVersion is the first byte of a token, so that its form may change.
const positionVersion = 1

// String is the token of the position.
func (p Position) String() string {
	text := []byte{positionVersion}
	text = binary.BigEndian.AppendUint64(text, p.System)
	text = binary.BigEndian.AppendUint32(text, p.Timeline)
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(text, p.LSN))
}

// ParsePosition reads a token. "" is the zero position, which everybody has
// reached; what is no token is MalformedRequest.
func ParsePosition(token string) (p Position, err error) {
	if token == "" {
		return p, nil
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(text) != 21 || text[0] != positionVersion {
		f := fault.New(fault.MalformedRequest, "the "+tokenHeader+" header is not a token of this API")
		f.Fields = []fault.Field{{Field: tokenHeader, Code: "invalid", Detail: "must be as an answer to a write gave it"}}
		return p, f
	}
	p.System, p.Timeline = binary.BigEndian.Uint64(text[1:]), binary.BigEndian.Uint32(text[9:])
	p.LSN = binary.BigEndian.Uint64(text[13:])
	return p, nil
}

// covers tells whether all that was acknowledged up to another position is
// there at this one. A later timeline goes on from where everything
// acknowledged on the earlier ones is there. On an earlier one the same number
// of bytes may be another log: what a deposed leader wrote and nobody kept.
func (p Position) covers(other Position) bool {
	return other == Position{} || p.System == other.System && p.Timeline >= other.Timeline && p.LSN >= other.LSN
}
