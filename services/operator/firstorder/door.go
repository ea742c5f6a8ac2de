package firstorder

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	consul "github.com/hashicorp/consul/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/platform/dial"
)

// Door is where customers come in: its URL, and a client that takes its certificate for it and no other.
type Door struct {
	URL    string
	Client *http.Client
}

// errClosed says that no ingress is ready.
var errClosed = errors.New("the ingress does not serve yet")

// FindDoor finds the shop's door: on one machine that of developers (Shop), else an ingress that Consul knows to be well.
func FindDoor(ctx context.Context, c *cluster.Cluster) (Door, error) {
	doors, err := c.Instances(ctx, "ingress")
	if err != nil {
		return Door{}, err
	}
	for _, door := range doors {
		if door.Checks.AggregatedStatus() != consul.HealthPassing {
			continue
		}
		address := net.ParseIP(door.Service.Address)
		if address == nil || address.IsLoopback() {
			return Door{URL: Shop, Client: client}, nil
		}
		shown, err := c.Item(ctx, "ingress", "certificate")
		if err != nil {
			return Door{}, err
		}
		block, _ := pem.Decode([]byte(shown))
		if block == nil {
			return Door{}, errors.New("the door's certificate in Nomad is not PEM: 'go tool task certificate' gives another")
		}
		at := net.JoinHostPort(door.Service.Address, strconv.Itoa(door.Service.Port))
		return Door{URL: "https://" + at, Client: &http.Client{Transport: &http.Transport{
			DialContext:     dial.Dialer(5 * time.Second).DialContext,
			TLSClientConfig: only(block.Bytes),
		}}}, nil
	}
	return Door{}, errClosed
}

// only takes a server that shows this certificate, whatever names it has: the door may have one of a public CA, and is
// asked for by its address here.
func only(certificate []byte) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // the very certificate is compared
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 || !bytes.Equal(state.PeerCertificates[0].Raw, certificate) {
				return errors.New("the door shows another certificate than Nomad has for it")
			}
			return nil
		},
	}
}
