package catalogue

import "testing"

// A word that nobody understands must not let out what it was written to keep in.
func TestTag(t *testing.T) {
	t.Parallel()
	for comment, want := range map[string]string{
		"": "", "the price": "", "warehouse: omit": Omit, "Who it is for. Warehouse: HASH.": Hash, "in the warehouses: none": "",
		"warehouse: hsh": "error", "warehouse:": "error", "warehouse: omitted": "error",
	} {
		got, err := tag(comment)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q is %q, not %q", comment, got, want)
		}
	}
}
