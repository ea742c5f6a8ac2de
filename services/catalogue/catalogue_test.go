package catalogue

import (
	"reflect"
	"testing"
)

func TestMendISBN(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, want       string
		zeros, dropped bool
	}{
		{"", "", false, false},
		{"439023483", "0439023483", true, false},
		{"0439023483", "0439023483", false, false},
		{"0-306-40615-2", "0306406152", false, false},
		{" 9780306406157 ", "9780306406157", false, false},
		{"080442957x", "080442957X", false, false},
		{`="0439023483"`, "0439023483", false, false}, // Excel's, which keeps the zeros
		{"'0439023483", "0439023483", false, false},
		{"439023483.0", "0439023483", true, false}, // a column of numbers
		{"9780306406157.00", "9780306406157", false, false},
		{"ISBN 0-306-40615-2", "0306406152", false, false},
		{"isbn-13: 978-0-306-40615-7", "9780306406157", false, false},
		{"ISBN10:0306406152", "0306406152", false, false},
		{"978\u20130306406157", "9780306406157", false, false},
		{"ISBN 10", "", false, true},
		{`=""`, "", false, true},
		{"0306406152 (pbk.)", "", false, true},
		{"439023484", "", false, true},  // wrong check digit
		{"9380658798", "", false, true}, // ten digits, wrong check digit
		{"0000000000", "", false, true}, // checks, and is no ISBN
		{"19", "", false, true},         // would check with zeros in front, by chance
		{"9.78031E+12", "", false, true},
		{"97803064061570", "", false, true},
		{"X306406152", "", false, true},
		{"1234567890128", "", false, true}, // thirteen digits that check, of another article
	} {
		got, zeros, dropped := mendISBN(c.in)
		if got != c.want || zeros != c.zeros || dropped != c.dropped {
			t.Errorf("%q: got %q %v %v, want %q %v %v", c.in, got, zeros, dropped, c.want, c.zeros, c.dropped)
		}
	}
}

func TestMendYear(t *testing.T) {
	t.Parallel()
	year := func(y int) *int { return &y }
	for _, c := range []struct {
		in    string
		want  *int
		wrong Mend
	}{
		{"2008.0", year(2008), ""},
		{"2008,0", year(2008), ""},
		{"-1750.0", year(-1750), ""},
		{" 1813 ", year(1813), ""},
		{"0850", year(850), ""},
		{"", nil, ""},
		{"0", nil, YearZeroDropped},
		{"0000", nil, YearZeroDropped},
		{"-0.0", nil, YearZeroDropped},
		{"9999", year(9999), ""}, // the shop says what it takes
		{"2008.5", nil, YearDropped},
		{"NaN", nil, YearDropped},
		{"1e3", nil, YearDropped},
		{"2E3", nil, YearDropped},
		{"0x7d0", nil, YearDropped},
		{"1_000", nil, YearDropped},
		{"12345678901234567890", nil, YearDropped},
		{"about 1600", nil, YearDropped},
	} {
		got, wrong := mendYear(c.in)
		if !reflect.DeepEqual(got, c.want) || wrong != c.wrong {
			t.Errorf("%q: got %v %q", c.in, got, wrong)
		}
	}
}

func TestMendLanguage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, want         string
		changed, dropped bool
	}{
		{"", "", false, false},
		{"eng", "en", true, false},
		{"en", "en", false, false},
		{"en-US", "en-US", false, false},
		{"en-us", "en-US", true, false},
		{"fre", "fr", true, false},
		{"per", "fa", true, false},
		{"nl", "nl", false, false},
		{"fil", "fil", false, false},
		{"nor", "no", true, false},
		{"mul", "mul", false, false},
		{"und", "", false, true},
		{"xx-??", "", false, true},
		{"english", "", false, true},
	} {
		got, changed, dropped := mendLanguage(c.in)
		if got != c.want || changed != c.changed || dropped != c.dropped {
			t.Errorf("%q: got %q %v %v, want %q %v %v", c.in, got, changed, dropped, c.want, c.changed, c.dropped)
		}
	}
}

func TestSplitAuthors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in      string
		want    []string
		changed bool
	}{
		{"", nil, false},
		{"J.K. Rowling, Mary GrandPré", []string{"J.K. Rowling", "Mary GrandPré"}, false},
		{"Louis Sachar, Louis Sachar", []string{"Louis Sachar"}, true},
		{"A, , B", []string{"A", "B"}, true},
		{"A  B", []string{"A B"}, true},
		{"A; B;C", []string{"A", "B", "C"}, false},
		{"A|B | C, D", []string{"A", "B", "C", "D"}, false},
		{"A;", []string{"A"}, true},
	} {
		got, _, changed := splitAuthors(c.in)
		if !reflect.DeepEqual(got, c.want) || changed != c.changed {
			t.Errorf("%q: got %q %v", c.in, got, changed)
		}
	}
}

// Derived figures are promises: another release must not re-price a loaded catalogue.
func TestDerivedFiguresStay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id       string
		price    int64
		quantity int64
	}{{"1", 3099, 69}, {"goodbooks-42", 2199, 104}} {
		if p, q := PriceCents(c.id), Quantity(c.id); p != c.price || q != c.quantity {
			t.Errorf("%s: price %d and stock %d, want %d and %d", c.id, p, q, c.price, c.quantity)
		}
	}
}
