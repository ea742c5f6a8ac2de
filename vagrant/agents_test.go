package vagrant_test

import (
	"strings"
	"testing"
)

// aside is a machine's state out of sight, with keys that are none.
const aside = "mount -t tmpfs none /var/lib/bookstore; mkdir /var/lib/bookstore/access; cd /var/lib/bookstore/access; touch ca.pem agent.pem agent-key.pem; " +
	"for name in nomad.gossip consul.gossip agent.nomad agent.consul; do echo bm8gc2VjcmV0IGF0IGFsbCBidXQgMzIgYnl0ZXMgISE= >$name; done; cd $OLDPWD; "

// settings runs an agent's script in a machine of its own, has the agent check what was written, and returns that.
func settings(t *testing.T, agent, script, environment string) string {
	t.Helper()
	said, err := alone(t, "export PATH=/opt/bookstore/bin:$PATH "+environment+"; unshare --mount bash -ec '"+aside+
		"bash provision/"+script+" --settings; cd /var/lib/bookstore/"+agent+"; "+map[string]string{"nomad": "nomad config validate .", "consul": "consul validate ."}[agent]+" >&2; cat agent.hcl'")
	if err != nil || !strings.Contains(said, "onfiguration is valid") {
		t.Errorf("%s %q: %v\n%s", agent, environment, err, said)
	}
	return said
}

// What of the machine is the shop's, and for how long a new leader trusts that a node lives.
func TestTheSettingsOfNomad(t *testing.T) {
	t.Parallel()
	for environment, want := range map[string][]string{
		"": {"memory_total_mb   = 0\n", "cpu_total_compute = 0\n", `failover_heartbeat_ttl = "30s"`, `heartbeat_grace = "30s"`},
		"BOOKSTORE_MEMORY=1500 BOOKSTORE_CPU=900": {"memory_total_mb   = 1500\n", "cpu_total_compute = 900\n"},
	} {
		written := settings(t, "nomad", "70-nomad.sh", environment)
		for _, line := range want {
			if !strings.Contains(written, line) {
				t.Errorf("%q: no %q in\n%s", environment, line, written)
			}
		}
	}
}

// A silent machine is suspected after two probes and dead after the suspicion: three seconds in all (memberlist's arithmetic for
// few machines).
func TestASilentMachineIsFoundSoon(t *testing.T) {
	t.Parallel()
	written := settings(t, "consul", "60-consul.sh", "")
	for _, line := range []string{`probe_interval = "500ms"`, `probe_timeout  = "300ms"`, "suspicion_mult = 3"} {
		if !strings.Contains(written, line) {
			t.Errorf("no %q in\n%s", line, written)
		}
	}
}
