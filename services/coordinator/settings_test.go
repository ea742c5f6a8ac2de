package coordinator_test

import (
	"testing"
	"time"

	"bookstore/services/coordinator"
)

func TestSettingsKeepTheProtocolsPromises(t *testing.T) {
	if err := coordinator.DefaultSettings("a").Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	spoil := map[string]func(*coordinator.Settings){
		"no name":                     func(s *coordinator.Settings) { s.Owner = "" },
		"renewals too rare":           func(s *coordinator.Settings) { s.RenewEvery = s.Lease / 2 },
		"calls as long as an attempt": func(s *coordinator.Settings) { s.CallTimeout = s.AttemptTimeout },
		"doubt too long":              func(s *coordinator.Settings) { s.TakeOverEvery = 3 * time.Second },
		"no attempt":                  func(s *coordinator.Settings) { s.MaxAttempts = 0 },
		"busy loop":                   func(s *coordinator.Settings) { s.PollEvery = 0 },
		"batch over the limit":        func(s *coordinator.Settings) { s.TakeOverLimit = 1 },
	}
	for name, f := range spoil {
		s := coordinator.DefaultSettings("a")
		f(&s)
		if s.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
