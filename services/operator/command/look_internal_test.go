package command

import (
	"slices"
	"testing"

	consul "github.com/hashicorp/consul/api"
)

// A client is given every door that is open, in a fixed order: whichever it uses, it knows the next.
func TestAddressesOfClients(t *testing.T) {
	t.Parallel()
	door := func(address string, node, own string) *consul.ServiceEntry {
		return &consul.ServiceEntry{
			Service: &consul.AgentService{Address: address, Port: 8443},
			Checks:  consul.HealthChecks{{CheckID: "serfHealth", Status: node}, {CheckID: "listening", Status: own}},
		}
	}
	got := addressesOf([]*consul.ServiceEntry{
		door("192.0.2.3", "passing", "passing"), door("192.0.2.1", "passing", "passing"),
		door("192.0.2.2", "critical", "passing"), door("192.0.2.4", "passing", "critical"), door("2001:db8::1", "passing", "passing"),
	})
	if want := []string{"https://192.0.2.1:8443", "https://192.0.2.3:8443", "https://[2001:db8::1]:8443"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if none := addressesOf(nil); none == nil || len(none) != 0 {
		t.Errorf("without a door: %v", none)
	}
}
