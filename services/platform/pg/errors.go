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

// SQLSTATEs that decide something here.
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

// Fault maps what the database says to a fault; op says what was being done.
// An error that is a fault already keeps its kind. Constraints are the store's
// to tell (IsUnique, IsCheck): unmapped ones are Internal.
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
