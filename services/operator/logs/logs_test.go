package logs_test

import (
	"strings"
	"testing"

	"bookstore/services/operator/logs"
)

// outputs are what a gateway, a coordinator and a participant have said.
var outputs = [][]byte{
	[]byte(`{"time":"2026-01-02T10:00:00.030Z","level":"INFO","msg":"request","service":"gateway","instance":"g1","method":"POST","route":"/orders","path":"/orders","status":201,"duration_seconds":0.03,"request_id":"REQUEST1"}
not a line of a service's, though it names REQUEST1
{"time":"2026-01-02T10:00:01Z","level":"INFO","msg":"request","service":"gateway","instance":"g1","method":"POST","path":"/orders","status":201,"duration_seconds":0.01,"request_id":"REQUEST2"}
`),
	[]byte(`{"time":"2026-01-02T10:00:00.028Z","level":"INFO","msg":"request","service":"coordinator","instance":"c1","method":"POST","path":"/orders","status":201,"duration_seconds":0.02,"request_id":"REQUEST1","gid":"GIDGID01"}
{"time":"2026-01-02T10:00:05Z","level":"WARN","msg":"branch has not acknowledged","service":"coordinator","instance":"c1","gid":"GIDGID01","branch":"books"}
{"time":"2026-01-02T10:00:06Z","level":"WARN","msg":"a branch of another","service":"coordinator","instance":"c1","gid":"GIDGID012"}
`),
	[]byte(`{"time":"2026-01-02T10:00:00.010Z","level":"INFO","msg":"request","service":"books","instance":"b1","method":"POST","path":"/internal/transactions/GIDGID01/prepare","status":200,"duration_seconds":0.004,"request_id":"REQUEST1"}
{"time":"2026-01-02T10:00:00.011Z","level":"INFO","msg":"no id at its end REQUEST1`),
}

func services(lines []logs.Line) string {
	var names []string
	for _, l := range lines {
		names = append(names, l.Service)
	}
	return strings.Join(names, " ")
}

func TestSelect(t *testing.T) {
	for _, want := range []struct {
		id      string
		request bool
		lines   string
	}{
		{"REQUEST1", true, "books coordinator gateway"},
		{"GIDGID01", false, "books coordinator gateway coordinator"}, // the last one belongs to no request
		{"REQUEST", true, ""},
		{"GIDGID", false, ""},
	} {
		if got := services(logs.Select(outputs, want.id, want.request)); got != want.lines {
			t.Errorf("%s: %q, want %q", want.id, got, want.lines)
		}
	}
}

func TestALineForAReader(t *testing.T) {
	lines := logs.Select(outputs, "GIDGID01", false)
	for i, want := range map[int]string{
		2: "10:00:00.030  gateway      request  method=POST  path=/orders  status=201  duration_seconds=0.03  route=/orders  instance=g1",
		3: "10:00:05.000  coordinator  branch has not acknowledged  [warn]  branch=books  gid=GIDGID01  instance=c1",
	} {
		if got := lines[i].String(); got != want {
			t.Errorf("%q\nwant\n%q", got, want)
		}
	}
}
