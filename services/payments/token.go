package payments

import "regexp"

// manner is how the simulated provider treats the one operation that a test
// token singles out; every other operation succeeds at once.
type manner string

const (
	succeeds manner = "ok"
	declines manner = "decline"
	hangs    manner = "hang"
	lags     manner = "late"
	fails    manner = "fail"
)

// behaviour is what a test token means.
type behaviour struct {
	manner
	operation Operation
	failures  int // of fails: how many calls fail before the first that does not
}

// tokens are the test tokens:
//
//	tok_ok                 all succeeds
//	tok_decline[_capture]  declined
//	tok_hang[_OP]          never answered
//	tok_late[_OP]          carried out, but answered late the first time
//	tok_fail[_OP]_N        the first N calls (1 to 9) fail, the next succeeds
//
// OP is capture, void or refund; without it the authorisation is meant.
var tokens = regexp.MustCompile(`^tok_(?:(ok)|(decline)(?:_(capture))?|(hang|late)(?:_(capture|void|refund))?|(fail)(?:_(capture|void|refund))?_([1-9]))$`)

// parse reads a test token; false when it is none.
func parse(token string) (behaviour, bool) {
	m := tokens.FindStringSubmatch(token)
	if m == nil {
		return behaviour{}, false
	}
	b := behaviour{manner: manner(m[1] + m[2] + m[4] + m[6]), operation: Operation(m[3] + m[5] + m[7])}
	if b.operation == "" {
		b.operation = Authorise
	}
	if m[8] != "" {
		b.failures = int(m[8][0] - '0')
	}
	return b, true
}
