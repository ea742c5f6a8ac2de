package text_test

import (
	"testing"

	"bookstore/services/shop/text"
)

func TestVisible(t *testing.T) {
	for _, s := range []string{
		"", " \t\n", "\u00a0\u3000", "\u200b", "\ufeff", "\u00ad", "\u200e\u202e\u2066", "\u2060\u180e", "\u3164", "\uffa0", "\u115f", "\u2800",
		"\ufe0f", "\u034f", "\x00", "\x1b", " \u200b ", "\u0301", "\u0301\u0308", " \u20e3", "\u0903", "\u180b", "\u17b4",
		"\U000e0041", "\U000e0100", "\U0001d159", "\U00013441\U00013442", "\ue000", "\u200d\u0300",
	} {
		if text.Visible(s) {
			t.Errorf("%q is taken for visible", s)
		}
	}
	for _, s := range []string{"a", "?", "…", "\u7d05", "ไ", "می\u200cخواهم", "👩\u200d👩", "\u200eש", "e\u0301", "कि", "1\ufe0f\u20e3", "´"} {
		if !text.Visible(s) {
			t.Errorf("%q is not taken for visible", s)
		}
	}
}
