package pg

// A statement that is meant to fail, because that ends a pipeline without
// another round trip, is no error for people: PostgreSQL logs it with its text
// all the same, once for each request that is refused. These expressions keep it
// out of the server's log. Where the role may not set log_min_messages they do
// without, and it is logged: the right is granted in patroni/databases.go.
const (
	// Refuse fails when it is evaluated, as a division by zero. Only then is
	// log_min_messages set, and the end of the transaction resets it: every other
	// error of the same statement is logged. It is an int, for a CASE.
	Refuse = `length(case when ` + mayHush + ` then set_config('log_min_messages', 'log', true) else '-' end) / 0`
	// Hush keeps the session's errors out of the log until Unhush, for a
	// statement that cannot be part of a transaction. The caller has to report them.
	Hush   = `select set_config('log_min_messages', 'log', false) where ` + mayHush
	Unhush = `select set_config('log_min_messages', null, false) where ` + mayHush

	mayHush = `has_parameter_privilege('log_min_messages', 'set')`
)
