package call

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"bookstore/services/kit/fault"
)

// ours are the members of a problem that every one has; the rest are details.
var ours = []string{"type", "title", "status", "code", "requestId", "detail", "errors"}

// problem reads a failed answer. One that is not a problem (a proxy's) is
// judged by its status.
func problem(response *http.Response, body []byte) *fault.Error {
	var known struct {
		Code   string        `json:"code"`
		Detail string        `json:"detail"`
		Errors []fault.Field `json:"errors"`
	}
	var details map[string]any
	if json.Unmarshal(body, &known) != nil || json.Unmarshal(body, &details) != nil {
		details = nil
	}
	for _, name := range ours {
		delete(details, name)
	}
	f := &fault.Error{
		Kind: fault.FromProblem(response.StatusCode, known.Code), Message: known.Detail,
		Fields: known.Errors, Details: details,
	}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		f.RetryAfter = time.Duration(seconds) * time.Second
	}
	return f
}
