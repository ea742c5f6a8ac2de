package vagrant_test

import (
	"strings"
	"testing"
)

// A machine that joins others and was given no keys says where they come from, and makes none: no agent would take them.
func TestAMachineThatJoinsWantsItsKeys(t *testing.T) {
	t.Parallel()
	const empty = "mount -t tmpfs none /var/lib/bookstore; mount -t tmpfs none /etc/bookstore; export PATH=/opt/bookstore/bin:$PATH; "
	run := func(servers string) string {
		said, _ := alone(t, "mkdir -p /etc/bookstore; unshare --mount bash -c '"+empty+"BOOKSTORE_SERVERS="+servers+
			" bash provision/55-access.sh; ls /var/lib/bookstore/access'")
		return said
	}
	if said := run("10.0.0.10,172.31.250.1"); !strings.Contains(said, "shop bundle 172.31.250.1") || strings.Contains(said, "gossip") {
		t.Errorf("one that joins: %s", said)
	}
	if said := run("172.31.250.1,10.0.0.10"); !strings.Contains(said, "ca-key.pem") || !strings.Contains(said, "consul.gossip") {
		t.Errorf("the first one: %s", said)
	}
}

// Scripts go by what provision.sh was told last, unless the environment says otherwise, and by nothing else of that file.
func TestSettingsOutlastARun(t *testing.T) {
	t.Parallel()
	said, err := alone(t, "mkdir -p /etc/bookstore; unshare --mount bash -ec 'mount -t tmpfs none /etc/bookstore; "+
		"printf \"BOOKSTORE_ROLE=client\\nBOOKSTORE_S3=192.0.2.1\\nPATH=/nowhere\\n\" >/etc/bookstore/machine.env; "+
		"export BOOKSTORE_S3=192.0.2.2; . provision/lib.sh; echo $BOOKSTORE_ROLE $BOOKSTORE_S3 $BOOKSTORE_INTERFACE; ls / >/dev/null'")
	if err != nil || said != "client 192.0.2.2 bookstore0\n" {
		t.Errorf("%v: %q", err, said)
	}
}
