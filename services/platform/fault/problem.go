package fault

import (
	"bytes"
	"encoding/json"
)

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
