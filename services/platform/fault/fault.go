// Package fault holds the one error type of the services. A fault keeps its
// identity on its way through layers and across services: its kind is the
// problem code of the API, and the table of kinds maps both ways.
package fault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Field names one bad field of a request, as the problem's "errors" show it.
type Field struct {
	Field  string `json:"field"`            // JSON path, such as items[0].quantity
	Code   string `json:"code"`             // machine-readable reason, such as out_of_range
	Detail string `json:"detail,omitempty"` // the same for people
}

// Error is a failure with a kind. Message and Details are shown to clients and
// so hold nothing internal; Op and Err are for logs alone.
type Error struct {
	Op         string         // what was being done, a verb phrase
	Kind       Kind           // what went wrong
	Message    string         // the problem's detail
	Fields     []Field        // the problem's errors
	Details    map[string]any // extra members of the problem
	RetryAfter time.Duration  // 0: nothing is said
	Err        error          // the cause
}

// New makes a fault with a message for the client.
func New(kind Kind, message string) *Error {
	return &Error{Kind: kind, Message: message}
}

// Newf is New with a format.
func Newf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Invalid is the fault of a request that can be read but breaks rules: all of them.
func Invalid(fields ...Field) *Error {
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, f.Field)
	}
	return &Error{Kind: InvalidField, Message: "invalid: " + strings.Join(names, ", "), Fields: fields}
}

// Wrap says what was being done when err happened and keeps all that err tells
// a client. Wrap of nil is nil.
func Wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	inner := As(err)
	return &Error{
		Op: op, Kind: inner.Kind, Message: inner.Message, Fields: inner.Fields,
		Details: inner.Details, RetryAfter: inner.RetryAfter, Err: err,
	}
}

// Error tells the whole story for a log.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	if _, ok := errors.AsType[*Error](e.Err); ok {
		b.WriteString(e.Err.Error())
		return b.String()
	}
	b.WriteString(string(e.Kind))
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of the outermost fault in err. A plain deadline is
// DeadlineExceeded, a cancelled context Unavailable (the caller went away or
// the process is stopping), anything else Internal.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.DeadlineExceeded):
		return DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return Unavailable
	default:
		return Internal
	}
}

// As views any error as a fault; nil stays nil.
func As(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Kind: KindOf(err), Err: err}
}

// Refused reports that the other side refused the call: nothing was changed, and the same call may safely be made again.
// False for nil. Decides tells whether the refusal may be kept as the request's outcome.
func Refused(err error) bool { return err != nil && !Unknown(err) }

// Decides reports that err is a definite refusal of the request itself, to which its key or step may be bound. False for
// nil, for Unknown, and for refusals such as a locked row: the next try may succeed.
func Decides(err error) bool { return err != nil && rowOf(KindOf(err)).meaning == Decided }

// Unknown reports that err leaves open whether the work was done. The call must be repeated under the same key, and must
// be treated as neither done nor refused.
func Unknown(err error) bool { return err != nil && rowOf(KindOf(err)).meaning == Unclear }

// Details are the extra members of a problem. Numbers that are read into them
// stay as they were written: an id above 2^53 does not fit into a float64.
type Details map[string]any

// UnmarshalJSON implements json.Unmarshaler.
func (d *Details) UnmarshalJSON(text []byte) error {
	var members map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&members); err != nil {
		return Wrap("read details", err)
	}
	*d = members
	return nil
}

// ReadProblem is the fault that a problem (RFC 9457) of another service was.
// RetryAfter is not in it. A body that is no problem is judged by its status.
func ReadProblem(status int, body []byte) *Error {
	var known struct {
		Code   string  `json:"code"`
		Detail string  `json:"detail"`
		Errors []Field `json:"errors"`
	}
	var details Details
	if json.Unmarshal(body, &known) != nil || json.Unmarshal(body, &details) != nil {
		details = nil
	}
	for _, name := range []string{"type", "title", "status", "code", "requestId", "detail", "errors"} {
		delete(details, name)
	}
	return &Error{Kind: FromProblem(status, known.Code), Message: known.Detail, Fields: known.Errors, Details: details}
}
