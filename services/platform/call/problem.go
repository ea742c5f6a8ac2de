package call

import (
	"net/http"
	"strconv"
	"time"

	"bookstore/services/platform/fault"
)

// problem reads a failed answer. One that is not a problem (a proxy's) is
// judged by its status.
func problem(response *http.Response, body []byte) *fault.Error {
	f := fault.ReadProblem(response.StatusCode, body)
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		f.RetryAfter = time.Duration(seconds) * time.Second
	}
	return f
}
