package twophase_test

import (
	"testing"
	"time"

	"bookstore/services/txn/participant"
	"bookstore/services/txn/twophase"
)

func TestSettingsKeepTheProtocolsPromises(t *testing.T) {
	if err := twophase.DefaultSettings("a").Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	spoil := map[string]func(*twophase.Settings){
		"no name":                     func(s *twophase.Settings) { s.Owner = "" },
		"renewals too rare":           func(s *twophase.Settings) { s.RenewEvery = s.Lease / 2 },
		"calls as long as an attempt": func(s *twophase.Settings) { s.CallTimeout = s.AttemptTimeout },
		"doubt too long":              func(s *twophase.Settings) { s.TakeOverEvery = 3 * time.Second },
		"no attempt":                  func(s *twophase.Settings) { s.MaxAttempts = 0 },
		"busy loop":                   func(s *twophase.Settings) { s.PollEvery = 0 },
		"batch over the limit":        func(s *twophase.Settings) { s.TakeOverLimit = 1 },
	}
	for name, f := range spoil {
		s := twophase.DefaultSettings("a")
		f(&s)
		if s.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// The times of the two packages, neither of which may know the other.
func TestMarkersGoBeforeAttempts(t *testing.T) {
	s := twophase.DefaultSettings("one")
	if s.Retention < participant.BranchMarkersKept+3*24*time.Hour {
		t.Errorf("attempts are kept for %v, markers for %v", s.Retention, participant.BranchMarkersKept)
	}
	s.Retention = participant.BranchMarkersKept + 2*24*time.Hour
	if s.Validate() == nil {
		t.Error("attempts may be gone before their markers")
	}
}
