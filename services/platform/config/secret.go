package config

import "log/slog"

const mask = "***"

// Secret is text that never prints: not through fmt, JSON or slog.
type Secret string

// Reveal is the only way to the text.
func (s Secret) Reveal() string { return string(s) }

// String masks the text for fmt.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// GoString masks the text for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText masks the text for JSON and every other encoder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the text as it is.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// LogValue masks the text for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
