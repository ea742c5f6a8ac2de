package fault

import "net/http"

// Kind says what went wrong in the words of the API. The list is closed: a new
// kind is a new row of the table below and of the contract.
type Kind string

// The kinds, in the order of their statuses. Each one's text is its problem
// code, but for BookNotFoundInOrder, which shares a code with BookNotFound.
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

// row is one line of the mapping kind <-> status, code, title.
// unknown marks the kinds that leave open whether the call did its work.
type row struct {
	kind    Kind
	status  int
	title   string
	unknown bool
}

// table is the one mapping between kinds and HTTP, read in both directions.
var table = []row{
	{MalformedRequest, http.StatusBadRequest, "The request cannot be read", false},
	{IdempotencyKeyRequired, http.StatusBadRequest, "An Idempotency-Key is required", false},
	{UnexpectedParameter, http.StatusBadRequest, "Unexpected query parameter", false},
	{Unauthenticated, http.StatusUnauthorized, "Authentication is required", false},
	{Forbidden, http.StatusForbidden, "Not allowed", false},
	{NotFound, http.StatusNotFound, "Not found", false},
	{BookNotFound, http.StatusNotFound, "Book not found", false},
	{OrderNotFound, http.StatusNotFound, "Order not found", false},
	{TransactionNotFound, http.StatusNotFound, "Transaction not found", false},
	{MethodNotAllowed, http.StatusMethodNotAllowed, "Method not allowed", false},
	{NotAcceptable, http.StatusNotAcceptable, "No acceptable representation", false},
	{OutOfStock, http.StatusConflict, "Out of stock", false},
	{PriceChanged, http.StatusConflict, "The price has changed", false},
	{InProgress, http.StatusConflict, "The same request is in progress", true},
	{AlreadyCaptured, http.StatusConflict, "The payment is already captured", false},
	{NotCancellable, http.StatusConflict, "Cannot be cancelled", false},
	{NotReturnable, http.StatusConflict, "Cannot be returned", false},
	{PaymentDeclined, http.StatusConflict, "The payment was declined", false},
	{Contended, http.StatusConflict, "Too many at once", false},
	{Aborted, http.StatusConflict, "The transaction is aborted", false},
	{Lost, http.StatusConflict, "The branch is lost", false},
	{BookGone, http.StatusGone, "The book is gone", false},
	{VersionMismatch, http.StatusPreconditionFailed, "The version differs", false},
	{BodyTooLarge, http.StatusRequestEntityTooLarge, "The body is too large", false},
	{UnsupportedMediaType, http.StatusUnsupportedMediaType, "Unsupported media type", false},
	{InvalidField, http.StatusUnprocessableEntity, "Invalid field", false},
	{MixedCurrencies, http.StatusUnprocessableEntity, "Mixed currencies", false},
	{IdempotencyKeyReused, http.StatusUnprocessableEntity, "The Idempotency-Key was used for another request", false},
	{BookNotFoundInOrder, http.StatusUnprocessableEntity, "Book not found", false},
	{VersionRequired, http.StatusPreconditionRequired, "A version is required", false},
	{RateLimited, http.StatusTooManyRequests, "Too many requests", false},
	{TooManyInFlight, http.StatusTooManyRequests, "Too many requests at once", false},
	{Internal, http.StatusInternalServerError, "Internal error", true},
	{Unavailable, http.StatusServiceUnavailable, "Unavailable", true},
	{CircuitOpen, http.StatusServiceUnavailable, "The circuit is open", true},
	{Overloaded, http.StatusServiceUnavailable, "Overloaded", true},
	{OutcomeUnknown, http.StatusServiceUnavailable, "The outcome is not known", true},
	{DeadlineExceeded, http.StatusGatewayTimeout, "Deadline exceeded", true},
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
	if k == BookNotFoundInOrder {
		return string(BookNotFound)
	}
	return string(rowOf(k).kind)
}

// FromProblem is the way back from an answer to its kind. An answer without a
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
