package vagrant_test

import (
	"os/exec"
	"strings"
	"testing"
)

// alone runs a script in a network namespace of its own, as root, and returns what it says.
func alone(t *testing.T, script string) (said string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", "bash", "-c", "set -e; "+
		"ip link add bookstore0 type bridge; ip addr add 172.31.250.1/24 dev bookstore0; ip link set bookstore0 up; "+script)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// The rules are the same however often they are made, and what opens them is replaced.
func TestTheWayOutIsClosedOnce(t *testing.T) {
	t.Parallel()
	const (
		closed = "bash provision/52-egress.sh; "
		opened = "BOOKSTORE_EGRESS=192.0.2.1:443,198.51.100.0/24 BOOKSTORE_ACME_EGRESS=203.0.113.1:443 BOOKSTORE_ALERT_EGRESS=203.0.113.2:587 bash provision/52-egress.sh; "
		shown  = "iptables-save -t filter | grep -v '^[#:]'; ip6tables-save -t filter | grep -v '^[#:]'; "
	)
	once, err := alone(t, closed+shown)
	if err != nil {
		t.Fatalf("%v: %s", err, once)
	}
	if again, err := alone(t, closed+opened+closed+shown); err != nil || again != once {
		t.Errorf("made again: %v\n%s\nmade once:\n%s", err, again, once)
	}
	rules, err := alone(t, closed+opened+shown)
	if err != nil || !strings.Contains(rules, "-d 192.0.2.1/32 -p tcp -m tcp --dport 443 -j RETURN") || !strings.Contains(rules, "-d 198.51.100.0/24 -p udp -j RETURN") {
		t.Errorf("opened: %v\n%s", err, rules)
	}
	if !strings.Contains(rules, "-A BOOKSTORE-HOST-JOBS -d 203.0.113.1/32 -p tcp -m tcp --dport 443 -m owner --uid-owner 10006 -j RETURN") {
		t.Errorf("opened for the ACME client:\n%s", rules)
	}
	if !strings.Contains(rules, "-A BOOKSTORE-HOST-JOBS -d 203.0.113.2/32 -p tcp -m tcp --dport 587 -m owner --uid-owner 10007 -j RETURN") {
		t.Errorf("opened for Alertmanager:\n%s", rules)
	}
}

func TestWhatIsNoAddressOpensNothing(t *testing.T) {
	t.Parallel()
	for _, wrong := range []string{"shop.example", "shop.example:443", "10.0.0.1:", "10.0.0.1:443/tcp", "::1", "10.0.0.1 -j ACCEPT", "10.0.0.1:443;true"} {
		said, err := alone(t, "BOOKSTORE_EGRESS='"+wrong+"' bash provision/52-egress.sh")
		if err == nil || !strings.Contains(said, "BOOKSTORE_EGRESS: ") {
			t.Errorf("%q: %v %s", wrong, err, said)
		}
		if said, err := alone(t, "BOOKSTORE_ACME_EGRESS='"+wrong+"' bash provision/52-egress.sh"); err == nil || !strings.Contains(said, "BOOKSTORE_ACME_EGRESS: ") {
			t.Errorf("%q for the ACME client: %v %s", wrong, err, said)
		}
		if said, err := alone(t, "BOOKSTORE_ALERT_EGRESS='"+wrong+"' bash provision/52-egress.sh"); err == nil || !strings.Contains(said, "BOOKSTORE_ALERT_EGRESS: ") {
			t.Errorf("%q for Alertmanager: %v %s", wrong, err, said)
		}
	}
}
