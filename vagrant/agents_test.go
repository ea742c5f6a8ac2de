package vagrant_test

import (
	"strings"
	"testing"
)

// Nomad reads the settings that its script writes: what of the machine is the shop's, and for how long a new leader trusts that a
// node lives. The machine's own state is out of sight.
func TestTheSettingsOfNomad(t *testing.T) {
	t.Parallel()
	const script = "mount -t tmpfs none /var/lib/bookstore; mkdir /var/lib/bookstore/access; " +
		"for name in nomad.gossip agent.nomad; do echo bm8gc2VjcmV0IGF0IGFsbCBidXQgMzIgYnl0ZXMgISE= >/var/lib/bookstore/access/$name; done; " +
		"bash provision/70-nomad.sh --settings; cd /var/lib/bookstore/nomad; " +
		"for file in ca agent agent-key; do touch /var/lib/bookstore/access/$file.pem; done; nomad config validate . >&2; cat agent.hcl"
	for settings, want := range map[string][]string{
		"": {"memory_total_mb   = 0\n", "cpu_total_compute = 0\n", `failover_heartbeat_ttl = "30s"`},
		"BOOKSTORE_MEMORY=1500 BOOKSTORE_CPU=900": {"memory_total_mb   = 1500\n", "cpu_total_compute = 900\n"},
	} {
		said, err := alone(t, "export PATH=/opt/bookstore/bin:$PATH "+settings+"; unshare --mount bash -ec '"+script+"'")
		if err != nil || !strings.Contains(said, "Configuration is valid") {
			t.Errorf("%q: %v\n%s", settings, err, said)
		}
		for _, line := range want {
			if !strings.Contains(said, line) {
				t.Errorf("%q: no %q in\n%s", settings, line, said)
			}
		}
	}
}
