// Package logs follows one request, transaction or saga through the logs of all services, in the order of time.
package logs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// Line is one line of a service's log (package telemetry).
type Line struct {
	Time     time.Time
	Service  string
	Instance string
	Level    string
	Text     string
	Request  string         // its id; "" for work in the background
	Rest     map[string]any // all that is not above
	Raw      string
}

// parse reads a line; ok is false for one that no service of the shop wrote.
func parse(raw []byte) (l Line, ok bool) {
	var known struct {
		Time     time.Time `json:"time"`
		Service  string    `json:"service"`
		Instance string    `json:"instance"`
		Level    string    `json:"level"`
		Text     string    `json:"msg"`
		Request  string    `json:"request_id"`
	}
	if json.Unmarshal(raw, &known) != nil || json.Unmarshal(raw, &l.Rest) != nil || known.Service == "" || known.Time.IsZero() {
		return Line{}, false
	}
	maps.DeleteFunc(l.Rest, func(key string, _ any) bool {
		return slices.Contains([]string{"time", "service", "instance", "level", "msg", "request_id"}, key)
	})
	l.Time, l.Service, l.Instance, l.Level, l.Text, l.Request = known.Time, known.Service, known.Instance, known.Level, known.Text, known.Request
	l.Raw = string(raw)
	return l, true
}

// first are the attributes that String shows before the others.
var first = []string{"method", "path", "status", "duration_seconds"}

// String is the line for a reader: when, who, what, and then the attributes.
func (l Line) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s  %-11s  %s", l.Time.UTC().Format("15:04:05.000"), l.Service, l.Text)
	if l.Level != "INFO" {
		fmt.Fprintf(&text, "  [%s]", strings.ToLower(l.Level))
	}
	names := slices.SortedFunc(maps.Keys(l.Rest), func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
	for _, name := range names {
		value := l.Rest[name]
		if _, simple := value.(string); !simple {
			encoded, err := json.Marshal(value)
			if err != nil {
				continue // it came out of JSON
			}
			value = string(encoded)
		}
		fmt.Fprintf(&text, "  %s=%v", name, value)
	}
	fmt.Fprintf(&text, "  instance=%s", l.Instance)
	return text.String()
}

// rank is the place of an attribute: the ones of a request's line come first.
func rank(name string) int {
	if i := slices.Index(first, name); i >= 0 {
		return i
	}
	return len(first)
}

// Select are the lines of outputs that belong to id, the oldest first: those that name it, and all lines of the requests
// that are about it. With request, id is a request's, and the lines are those of that request alone.
func Select(outputs [][]byte, id string, request bool) []Line {
	var selected []Line
	requests := map[string]bool{}
	if request {
		requests[id] = true
	} else {
		for l := range linesWith(outputs, id) {
			if !l.names(id) {
				continue
			}
			selected = append(selected, l)
			if l.Request != "" {
				requests[l.Request] = true
			}
		}
	}
	for l := range linesWith(outputs, slices.Collect(maps.Keys(requests))...) {
		if requests[l.Request] {
			selected = append(selected, l)
		}
	}
	slices.SortStableFunc(selected, func(a, b Line) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Raw, b.Raw))
	})
	return slices.CompactFunc(selected, func(a, b Line) bool { return a.Raw == b.Raw })
}

// names tells whether the line has id as a value, or as a part of a path.
func (l Line) names(id string) bool {
	for _, value := range l.Rest {
		text, ok := value.(string)
		if ok && slices.Contains(strings.Split(text, "/"), id) {
			return true
		}
	}
	return false
}

// linesWith are the services' lines in outputs that contain one of these ids.
func linesWith(outputs [][]byte, ids ...string) iter.Seq[Line] {
	return func(yield func(Line) bool) {
		for _, output := range outputs {
			for raw := range bytes.Lines(output) {
				if !slices.ContainsFunc(ids, func(id string) bool { return bytes.Contains(raw, []byte(id)) }) {
					continue
				}
				if l, ok := parse(bytes.TrimSpace(raw)); ok && !yield(l) {
					return
				}
			}
		}
	}
}
