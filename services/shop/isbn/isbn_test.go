package isbn_test

import (
	"testing"

	"bookstore/services/shop/isbn"
)

func TestNormalise(t *testing.T) {
	cases := map[string]struct {
		isbn string
		ok   bool
	}{
		"0141439580":                            {"0141439580", true},
		"0-14-143958-0":                         {"0141439580", true},
		"978 0 14 143958 7":                     {"9780141439587", true},
		"141439580":                             {"0141439580", true}, // a spreadsheet ate the zero
		"2005018":                               {"0002005018", true},
		"080442957X":                            {"080442957X", true},
		"0-8044-2957-x":                         {"080442957X", true},
		"978\u20110\u201114\u2013143958\u22127": {"9780141439587", true}, // as typesetters break no line
		"\u200e 978-0141439587\u00a0":           {"9780141439587", true}, // copied from a page
		"0\ufeff141439580":                      {"0141439580", true},
		"0141439581":                            {"", false},
		"9780141439588":                         {"", false},
		"1234567890128":                         {"", false}, // a good EAN but no book's
		"0000000000":                            {"", false}, // its check digit is right
		"0000000":                               {"", false},
		"0-000-00000-0":                         {"", false},
		"0000000000000":                         {"", false},
		"9780000000002":                         {"", false}, // 0000000000 in its other form
		"9790000000001":                         {"", false},
		"1111111111":                            {"", false}, // every digit ten times over checks
		"9999999999":                            {"", false},
		"978-1-111-11111-3":                     {"", false},
		"979-10-90636-07-1":                     {"9791090636071", true},
		"01414395X0":                            {"", false},
		"X141439580":                            {"", false},
		"":                                      {"", false},
		"123":                                   {"", false},
		"97801414395870":                        {"", false},
		"٠١٤١٤٣٩٥٨٠":                            {"", false},
		"0141439580; drop all":                  {"", false},
	}
	for text, want := range cases {
		number, ok := isbn.Normalise(text)
		if ok != want.ok || (ok && number != want.isbn) {
			t.Errorf("%q: got %q %v, want %q %v", text, number, ok, want.isbn, want.ok)
		}
	}
}

// FuzzNormalise holds: no panic, and what is accepted is in normal form.
func FuzzNormalise(f *testing.F) {
	f.Add("0-14-143958-0")
	f.Add("9780141439587")
	f.Fuzz(func(t *testing.T, text string) {
		number, ok := isbn.Normalise(text)
		if !ok {
			return
		}
		if again, ok := isbn.Normalise(number); !ok || again != number {
			t.Errorf("%q became %q, which became %q", text, number, again)
		}
	})
}
