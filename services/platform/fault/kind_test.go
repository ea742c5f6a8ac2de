package fault_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"bookstore/services/platform/fault"
)

// What decides and what may be repeated, written down a second time: a
// slip in the table binds accidents to keys, or repeats refusals for ever.
func TestWhatEachKindMeansToTheCaller(t *testing.T) {
	decides := []fault.Kind{fault.Aborted, fault.VersionMismatch, fault.InvalidField}
	anew := []fault.Kind{fault.Contended, fault.Aborted}
	for _, kind := range fault.Kinds() {
		err := fault.Wrap("call", fault.New(kind, ""))
		if got, want := fault.Decides(err), slices.Contains(decides, kind); got != want {
			t.Errorf("%s decides: %t", kind, got)
		}
		if got, want := kind.Retry() == fault.Anew, slices.Contains(anew, kind); got != want {
			t.Errorf("%s is tried anew: %t", kind, got)
		}
	}
	if fault.Decides(nil) || fault.Decides(errors.New("broken pipe")) {
		t.Error("neither success nor an accident is a decided no")
	}
}

func TestDefineRefusesWhatContradictsItself(t *testing.T) {
	cases := map[string]func(){
		"twice":           func() { fault.Define("internal", http.StatusConflict, "t", fault.Decided, fault.Never) },
		"no code":         func() { fault.Define("", http.StatusConflict, "t", fault.Decided, fault.Never) },
		"no title":        func() { fault.Define("x", http.StatusConflict, "", fault.Decided, fault.Never) },
		"no error":        func() { fault.Define("x", http.StatusOK, "t", fault.Decided, fault.Never) },
		"no meaning":      func() { fault.Define("x", http.StatusConflict, "t", 0, fault.Never) },
		"no retry":        func() { fault.Define("x", http.StatusConflict, "t", fault.Decided, 0) },
		"decided, same":   func() { fault.Define("x", http.StatusConflict, "t", fault.Decided, fault.Same) },
		"unclear, anew":   func() { fault.Define("x", http.StatusConflict, "t", fault.Unclear, fault.Anew) },
		"unclear, never":  func() { fault.Define("x", http.StatusConflict, "t", fault.Unclear, fault.Never) },
		"an alias, twice": func() { fault.Alias("internal", fault.NotFound, http.StatusConflict, fault.Never) },
	}
	before := len(fault.Kinds())
	for name, define := range cases {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: defined", name)
				}
			}()
			define()
		}()
	}
	if len(fault.Kinds()) != before {
		t.Error("a refused kind is in the table")
	}
}
