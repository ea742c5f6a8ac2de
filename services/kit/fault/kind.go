package fault

import "net/http"

// Kind says what went wrong in the words of the API. The list is closed: a new
// kind is a new row of the table below and of the contract.
type Kind string

// The kinds, in the order of their statuses. Each one's text is its problem
// code, but for two that share one: BookNotFoundInOrder with BookNotFound, and
// PriceNotMet with PriceChanged.
const (
	MalformedRequest       Kind = "malformed_request"
	IdempotencyKeyRequired Kind = "idempotency_key_required"
	UnexpectedParameter    Kind = "unexpected_parameter"
	Unauthenticated        Kind = "unauthenticated"
	Forbidden              Kind = "forbidden"
	NotFound               Kind = "not_found"
	BookNotFound           Kind = "book_not_found"
	OrderNotFound          Kind = "order_not_found"
	TransactionNotFound    Kind = "transaction_not_found"
	MethodNotAllowed       Kind = "method_not_allowed"
	NotAcceptable          Kind = "not_acceptable"
	OutOfStock             Kind = "out_of_stock"
	PriceChanged           Kind = "price_changed"
	PriceNotMet            Kind = "price_not_met" // the price is another one than the customer named
	InProgress             Kind = "in_progress"
	AlreadyCaptured        Kind = "already_captured"
	NotCancellable         Kind = "not_cancellable"
	NotReturnable          Kind = "not_returnable"
	PaymentDeclined        Kind = "payment_declined"
	Contended              Kind = "contended"
	Aborted                Kind = "aborted"     // a branch refused because its gid is already aborted
	Lost                   Kind = "branch_lost" // a decided commit whose prepared branch and marker are both gone
	BookGone               Kind = "book_gone"
	VersionMismatch        Kind = "version_mismatch"
	BodyTooLarge           Kind = "body_too_large"
	UnsupportedMediaType   Kind = "unsupported_media_type"
	InvalidField           Kind = "invalid_field"
	MixedCurrencies        Kind = "mixed_currencies"
	IdempotencyKeyReused   Kind = "idempotency_key_reused"
	BookNotFoundInOrder    Kind = "book_not_found_in_order"
	VersionRequired        Kind = "version_required"
	RateLimited            Kind = "rate_limited"
	TooManyInFlight        Kind = "too_many_in_flight"
	Internal               Kind = "internal"
	Unavailable            Kind = "unavailable"
	CircuitOpen            Kind = "circuit_open"
	Overloaded             Kind = "overloaded"
	OutcomeUnknown         Kind = "outcome_unknown"
	DeadlineExceeded       Kind = "deadline_exceeded"
)

// Retry says what a caller may do to get another answer.
type Retry int

// The ways to ask again. There is none by default: each kind states its own.
const (
	_     Retry = iota
	Never       // the same request gets the same answer
	Anew        // nothing of the call is left: a new attempt, with fresh prices, may be made at once
	Same        // the same call may be made again, later and under the same key
)

// row is one line of the mapping kind <-> status, code, title, and what an
// answer of this kind means to whoever made the call. The literals below have no
// field names, so a kind without one of these does not compile.
type row struct {
	kind   Kind
	status int
	title  string
	// unknown: it is left open whether the call did its work.
	unknown bool
	// decides: the domain has decided about this very request, so the answer may
	// be bound to a key or a step. What speaks about the call instead (a path that
	// a proxy does not know, a locked row) decides nothing, though nothing was done.
	decides bool
	retry   Retry
}

// table is the one mapping between kinds and HTTP, read in both directions, and
// the one place that says what a kind means.
var table = []row{
	{MalformedRequest, http.StatusBadRequest, "The request cannot be read", false, false, Never},
	{IdempotencyKeyRequired, http.StatusBadRequest, "An Idempotency-Key is required", false, false, Never},
	{UnexpectedParameter, http.StatusBadRequest, "Unexpected query parameter", false, false, Never},
	{Unauthenticated, http.StatusUnauthorized, "Authentication is required", false, false, Never},
	{Forbidden, http.StatusForbidden, "Not allowed", false, false, Never},
	{NotFound, http.StatusNotFound, "Not found", false, false, Never},
	{BookNotFound, http.StatusNotFound, "Book not found", false, true, Never},
	{OrderNotFound, http.StatusNotFound, "Order not found", false, true, Never},
	{TransactionNotFound, http.StatusNotFound, "Transaction not found", false, false, Never},
	{MethodNotAllowed, http.StatusMethodNotAllowed, "Method not allowed", false, false, Never},
	{NotAcceptable, http.StatusNotAcceptable, "No acceptable representation", false, false, Never},
	{OutOfStock, http.StatusConflict, "Out of stock", false, true, Never},
	{PriceChanged, http.StatusConflict, "The price has changed", false, true, Anew},
	{PriceNotMet, http.StatusConflict, "The price has changed", false, true, Never},
	{InProgress, http.StatusConflict, "The same request is in progress", true, false, Same},
	{AlreadyCaptured, http.StatusConflict, "The payment is already captured", false, true, Never},
	{NotCancellable, http.StatusConflict, "Cannot be cancelled", false, true, Never},
	{NotReturnable, http.StatusConflict, "Cannot be returned", false, true, Never},
	{PaymentDeclined, http.StatusConflict, "The payment was declined", false, true, Never},
	{Contended, http.StatusConflict, "Too many at once", false, false, Anew},
	{Aborted, http.StatusConflict, "The transaction is aborted", false, true, Anew},
	{Lost, http.StatusConflict, "The branch is lost", false, false, Never},
	{BookGone, http.StatusGone, "The book is gone", false, true, Never},
	{VersionMismatch, http.StatusPreconditionFailed, "The version differs", false, true, Never},
	{BodyTooLarge, http.StatusRequestEntityTooLarge, "The body is too large", false, false, Never},
	{UnsupportedMediaType, http.StatusUnsupportedMediaType, "Unsupported media type", false, false, Never},
	{InvalidField, http.StatusUnprocessableEntity, "Invalid field", false, true, Never},
	{MixedCurrencies, http.StatusUnprocessableEntity, "Mixed currencies", false, true, Never},
	{IdempotencyKeyReused, http.StatusUnprocessableEntity, "The Idempotency-Key was used for another request", false, false, Never},
	{BookNotFoundInOrder, http.StatusUnprocessableEntity, "Book not found", false, true, Never},
	{VersionRequired, http.StatusPreconditionRequired, "A version is required", false, false, Never},
	{RateLimited, http.StatusTooManyRequests, "Too many requests", false, false, Same},
	{TooManyInFlight, http.StatusTooManyRequests, "Too many requests at once", false, false, Same},
	{Internal, http.StatusInternalServerError, "Internal error", true, false, Same},
	{Unavailable, http.StatusServiceUnavailable, "Unavailable", true, false, Same},
	{CircuitOpen, http.StatusServiceUnavailable, "The circuit is open", true, false, Same},
	{Overloaded, http.StatusServiceUnavailable, "Overloaded", true, false, Same},
	{OutcomeUnknown, http.StatusServiceUnavailable, "The outcome is not known", true, false, Same},
	{DeadlineExceeded, http.StatusGatewayTimeout, "Deadline exceeded", true, false, Same},
}

// rowOf finds a kind's row; a kind outside the list is Internal.
func rowOf(k Kind) row {
	for _, r := range table {
		if r.kind == k {
			return r
		}
	}
	return rowOf(Internal)
}

// Kinds returns every kind once.
func Kinds() []Kind {
	kinds := make([]Kind, 0, len(table))
	for _, r := range table {
		kinds = append(kinds, r.kind)
	}
	return kinds
}

// Status is the HTTP status a kind is answered with.
func (k Kind) Status() int { return rowOf(k).status }

// Title is the problem's short text, the same for every occurrence of the kind.
func (k Kind) Title() string { return rowOf(k).title }

// Code is the problem's code in the contract.
func (k Kind) Code() string {
	switch k {
	case BookNotFoundInOrder:
		return string(BookNotFound)
	case PriceNotMet:
		return string(PriceChanged)
	}
	return string(rowOf(k).kind)
}

// Retry is what a caller may do to get another answer than one of this kind.
func (k Kind) Retry() Retry { return rowOf(k).retry }

// FromProblem is the way back from an answer to its kind, but that no answer of
// another service is PriceNotMet: only who knows the customer's request can say so. An answer without a
// code we know (a proxy's, say) is judged by its status alone, and one that
// tells nothing certain is an unknown outcome.
func FromProblem(status int, code string) Kind {
	for _, r := range table {
		if r.status == status && r.kind.Code() == code {
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
	for _, r := range table {
		if r.status == status {
			return r.kind
		}
	}
	return OutcomeUnknown
}
