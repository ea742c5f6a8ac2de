package fault

import (
	"fmt"
	"net/http"
)

// Kind says what went wrong, as the API does: its text is the problem's code.
// The kinds below are those of any service; packages that know a domain add
// their own with Define.
type Kind string

// The kinds of any service, in the order of their statuses.
var (
	MalformedRequest       = Define("malformed_request", http.StatusBadRequest, "The request cannot be read", Undecided, Never)
	IdempotencyKeyRequired = Define("idempotency_key_required", http.StatusBadRequest, "An Idempotency-Key is required", Undecided, Never)
	UnexpectedParameter    = Define("unexpected_parameter", http.StatusBadRequest, "Unexpected query parameter", Undecided, Never)
	Unauthenticated        = Define("unauthenticated", http.StatusUnauthorized, "Authentication is required", Undecided, Never)
	Forbidden              = Define("forbidden", http.StatusForbidden, "Not allowed", Undecided, Never)
	NotFound               = Define("not_found", http.StatusNotFound, "Not found", Undecided, Never)
	TransactionNotFound    = Define("transaction_not_found", http.StatusNotFound, "Transaction not found", Undecided, Never)
	MethodNotAllowed       = Define("method_not_allowed", http.StatusMethodNotAllowed, "Method not allowed", Undecided, Never)
	NotAcceptable          = Define("not_acceptable", http.StatusNotAcceptable, "No acceptable representation", Undecided, Never)
	InProgress             = Define("in_progress", http.StatusConflict, "The same request is in progress", Unclear, Same)
	Contended              = Define("contended", http.StatusConflict, "Too many at once", Undecided, Anew)
	// Aborted: a branch refused because its transaction is already aborted.
	Aborted = Define("aborted", http.StatusConflict, "The transaction is aborted", Decided, Anew)
	// Lost: the prepared branch and the marker of a decided commit are both gone.
	Lost                 = Define("branch_lost", http.StatusConflict, "The branch is lost", Undecided, Never)
	VersionMismatch      = Define("version_mismatch", http.StatusPreconditionFailed, "The version differs", Decided, Never)
	BodyTooLarge         = Define("body_too_large", http.StatusRequestEntityTooLarge, "The body is too large", Undecided, Never)
	UnsupportedMediaType = Define("unsupported_media_type", http.StatusUnsupportedMediaType, "Unsupported media type", Undecided, Never)
	InvalidField         = Define("invalid_field", http.StatusUnprocessableEntity, "Invalid field", Decided, Never)
	IdempotencyKeyReused = Define("idempotency_key_reused", http.StatusUnprocessableEntity, "The Idempotency-Key was used for another request", Undecided, Never)
	VersionRequired      = Define("version_required", http.StatusPreconditionRequired, "A version is required", Undecided, Never)
	RateLimited          = Define("rate_limited", http.StatusTooManyRequests, "Too many requests", Undecided, Same)
	TooManyInFlight      = Define("too_many_in_flight", http.StatusTooManyRequests, "Too many requests at once", Undecided, Same)
	HeadTooLarge         = Define("head_too_large", http.StatusRequestHeaderFieldsTooLarge, "The head is too large", Undecided, Never)
	Internal             = Define("internal", http.StatusInternalServerError, "Internal error", Unclear, Same)
	Unavailable          = Define("unavailable", http.StatusServiceUnavailable, "Unavailable", Unclear, Same)
	CircuitOpen          = Define("circuit_open", http.StatusServiceUnavailable, "The circuit is open", Unclear, Same)
	Overloaded           = Define("overloaded", http.StatusServiceUnavailable, "Overloaded", Unclear, Same)
	OutcomeUnknown       = Define("outcome_unknown", http.StatusServiceUnavailable, "The outcome is not known", Unclear, Same)
	DeadlineExceeded     = Define("deadline_exceeded", http.StatusGatewayTimeout, "Deadline exceeded", Unclear, Same)
)

// Meaning is what an answer of a kind says about the requested work.
// There is none by default: each kind states its own.
type Meaning int

// The meanings.
const (
	_ Meaning = iota
	// Decided: the domain has decided about this very request, so the answer may
	// be bound to a key or a step.
	Decided
	// Undecided: nothing was done, and the answer speaks about the call (a path
	// that a proxy does not know, a locked row), so it must not be bound.
	Undecided
	// Unclear: the work may have been done or not.
	Unclear
)

// Retry says what a caller may do to get another answer. There is none by
// default: each kind states its own.
type Retry int

// The ways to retry.
const (
	_     Retry = iota
	Never       // the same request gets the same answer
	Anew        // nothing of the call is left: a new attempt may be made at once
	Same        // the same call may be made again, later and under the same key
)

// row is what is known about a kind.
type row struct {
	kind    Kind
	code    string
	status  int
	title   string
	meaning Meaning
	retry   Retry
}

// rows holds every kind in the order of definition. Package initialization
// alone writes it.
var rows []row

// Define adds a kind: the problem's code, its HTTP status, its title (the same
// for every occurrence), and what an answer of this kind means to whoever made
// the call. It is for package variables, and panics where two kinds could not
// be told apart or their properties contradict each other.
func Define(code string, status int, title string, meaning Meaning, retry Retry) Kind {
	return define(row{Kind(code), code, status, title, meaning, retry})
}

// Alias adds a kind with the code of another one, and a status or a Retry of
// its own.
func Alias(kind, shown Kind, status int, retry Retry) Kind {
	r := rowOf(shown)
	return define(row{kind, r.code, status, r.title, r.meaning, retry})
}

func define(r row) Kind {
	contradiction := r.meaning == Unclear && r.retry != Same || r.meaning == Decided && r.retry == Same
	if r.code == "" || r.title == "" || r.status < http.StatusBadRequest || r.meaning < Decided || r.retry < Never || contradiction {
		panic(fmt.Sprintf("fault: the properties of kind %q are incomplete or contradict each other", r.kind))
	}
	for _, other := range rows {
		if other.kind == r.kind {
			panic(fmt.Sprintf("fault: kind %q is defined twice", r.kind))
		}
	}
	rows = append(rows, r)
	return r.kind
}

// rowOf finds a kind's row; a kind that nobody defined is Internal.
func rowOf(k Kind) row {
	for _, r := range rows {
		if r.kind == k {
			return r
		}
	}
	return rowOf(Internal)
}

// Kinds returns every kind once.
func Kinds() []Kind {
	kinds := make([]Kind, 0, len(rows))
	for _, r := range rows {
		kinds = append(kinds, r.kind)
	}
	return kinds
}

// Status is the HTTP status that a kind is answered with.
func (k Kind) Status() int { return rowOf(k).status }

// Title is the problem's short text, the same for every occurrence of the kind.
func (k Kind) Title() string { return rowOf(k).title }

// Code is the problem's code in the contract.
func (k Kind) Code() string { return rowOf(k).code }

// Retry is what a caller may do to get another answer than one of this kind.
func (k Kind) Retry() Retry { return rowOf(k).retry }

// FromProblem is the way back from an answer to its kind. An answer without a
// code that is defined (a proxy's, say) is judged by its status alone, and one
// that tells nothing certain is OutcomeUnknown. Of kinds with the same status and
// code it is the one that was defined first.
func FromProblem(status int, code string) Kind {
	for _, r := range rows {
		if r.status == status && r.code == code {
			return r.kind
		}
	}
	switch status {
	case http.StatusConflict, http.StatusBadGateway:
		return OutcomeUnknown
	case http.StatusRequestTimeout:
		return DeadlineExceeded
	case http.StatusServiceUnavailable:
		return Unavailable
	}
	for _, r := range rows {
		if r.status == status {
			return r.kind
		}
	}
	return OutcomeUnknown
}
