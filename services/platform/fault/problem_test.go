package fault_test

import (
	"encoding/json"
	"strings"
	"testing"

	"bookstore/services/platform/fault"
)

// An id above 2^53 comes out of a problem as it went in.
func TestNumbersInDetailsStayAsTheyWereWritten(t *testing.T) {
	const books = `[{"available":0,"bookId":9007199254740993},{"available":1,"bookId":9223372036854775807}]`
	f := fault.ReadProblem(412, []byte(`{"type":"t","title":"t","status":412,"code":"version_mismatch","requestId":"r","detail":"none left","books":`+books+`}`))
	if f.Kind != fault.VersionMismatch || f.Message != "none left" || len(f.Details) != 1 {
		t.Fatalf("got %+v", f)
	}
	text, err := json.Marshal(f.Details)
	if err != nil || !strings.Contains(string(text), books) {
		t.Errorf("got %s, %v", text, err)
	}
	var again fault.Details
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if text, err = json.Marshal(again); err != nil || !strings.Contains(string(text), books) {
		t.Errorf("read once more: %s, %v", text, err)
	}
}

func TestWhatIsNoProblemIsJudgedByItsStatus(t *testing.T) {
	for _, body := range []string{"", "no healthy upstream", "[]", `"x"`, `{"code":1}`} {
		if f := fault.ReadProblem(503, []byte(body)); f.Kind != fault.Unavailable || len(f.Details) != 0 {
			t.Errorf("%q: got %+v", body, f)
		}
	}
}
