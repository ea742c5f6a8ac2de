package pg

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"bookstore/services/platform/fault"
)

// SQLSTATEs that this package maps.
const (
	codeReadOnly        = "25006" // a demoted leader
	codeLockTimeout     = "55P03"
	codeSerialization   = "40001"
	codeDeadlock        = "40P01"
	codeQueryCanceled   = "57014" // statement_timeout: cancel requests are never sent
	codeAdminShutdown   = "57P01"
	codeCrashShutdown   = "57P02"
	codeCannotConnect   = "57P03"
	codeIdleSession     = "57P05"
	codeIdleTransaction = "25P03"
	codeUnique          = "23505"
	codeCheck           = "23514"
)

// Code is the SQLSTATE of a database error, "" for any other.
func Code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// Fault maps a database error to a fault; op is what was being done. An error that is
// a fault already keeps its kind. Stores map violations of constraints themselves
// (IsUnique, IsCheck): unmapped ones are fault.Internal.
func Fault(op string, err error) error {
	var already *fault.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &already):
		return fault.Wrap(op, err)
	}
	out := &fault.Error{Op: op, Kind: kindOf(err), Err: err}
	switch out.Kind {
	case fault.Contended:
		out.Message, out.RetryAfter = "others are changing the same rows", time.Second
	case fault.Unavailable:
		out.Message, out.RetryAfter = "the database cannot be reached", time.Second
	}
	return out
}

func kindOf(err error) fault.Kind {
	var connect *pgconn.ConnectError
	var network net.Error
	switch code := Code(err); {
	case errors.As(err, &connect):
		return fault.Unavailable
	case code == codeLockTimeout, code == codeSerialization, code == codeDeadlock:
		return fault.Contended
	case code == codeQueryCanceled, errors.Is(err, context.DeadlineExceeded):
		return fault.DeadlineExceeded
	case isConnectionCode(code):
		return fault.Unavailable
	case code != "":
		return fault.Internal
	case errors.Is(err, context.Canceled), errors.As(err, &network), pgconn.SafeToRetry(err), Broken(err):
		return fault.Unavailable
	default:
		return fault.Internal
	}
}

func isConnectionCode(code string) bool {
	switch code {
	case codeReadOnly, codeAdminShutdown, codeCrashShutdown, codeCannotConnect, codeIdleSession, codeIdleTransaction:
		return true
	}
	// Connection trouble; out of resources; trouble with what it stands on, its disk and its files.
	return len(code) == 5 && slices.Contains([]string{"08", "53", "58"}, code[:2])
}

// IsUnique reports the violation of the named unique constraint or index.
func IsUnique(err error, constraint string) bool { return violates(err, codeUnique, constraint) }

// IsCheck reports the violation of the named check constraint.
func IsCheck(err error, constraint string) bool { return violates(err, codeCheck, constraint) }

func violates(err error, code, constraint string) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == code && e.ConstraintName == constraint
}

// A statement may be meant to fail, because that ends a pipeline without another
// round trip. PostgreSQL would log it with its text, once for each request that is
// refused. These expressions keep it out of the server's log. If the role may not set
// log_min_messages, it is logged: patroni/databases.go grants the right.
const (
	// Refuse fails when it is evaluated, as a division by zero. Only then is
	// log_min_messages set, and the end of the transaction resets it: every other
	// error of the same statement is logged. It is an int, for a CASE.
	Refuse = `length(case when ` + mayHush + ` then set_config('log_min_messages', 'log', true) else '-' end) / 0`
	// Hush keeps the session's errors out of the log until Unhush, for a statement
	// that cannot be part of a transaction. The caller must report them.
	Hush   = `select set_config('log_min_messages', 'log', false) where ` + mayHush
	Unhush = `select set_config('log_min_messages', null, false) where ` + mayHush

	mayHush = `has_parameter_privilege('log_min_messages', 'set')`
)
