package vagrant_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bookstore/services/operator/firstorder"
	"bookstore/services/platform/wait"
)

// Vagrant brings machines to a first order, by the provider docker, and leaves nothing behind. It takes about six minutes and
// 4 GiB, so it runs where BOOKSTORE_VAGRANT is set. A lab of Vagrant's that is there already is none of its own.
func TestVagrantBringsAFirstOrder(t *testing.T) {
	if os.Getenv("BOOKSTORE_VAGRANT") == "" {
		t.Skip("BOOKSTORE_VAGRANT is not set")
	}
	if out := command(t, time.Minute, "docker", "ps", "-aq", "--filter", "name=^bookstore-(server|client)[0-9]$"); out != "" {
		t.Fatal("machines of Vagrant's are there: 'vagrant destroy -f' removes them")
	}
	t.Cleanup(func() {
		command(t, 5*time.Minute, "vagrant", "destroy", "-f")
		left := command(t, time.Minute, "docker", "ps", "-aq", "--filter", "name=^bookstore-(server|client)[0-9]$")
		left += command(t, time.Minute, "docker", "network", "ls", "-q", "--filter", "name=vagrant_network_10.31.251")
		for _, folder := range []string{".vagrant/keys", "/var/lib/bookstore-vagrant"} {
			if _, err := os.Stat(folder); err == nil {
				left += folder
			}
		}
		if left != "" {
			t.Errorf("'vagrant destroy' leaves %s", left)
		}
	})
	begin := time.Now()
	command(t, 15*time.Minute, "vagrant", "up", "--provider", "docker")
	t.Logf("figure vagrant_up_s %.0f", time.Since(begin).Seconds())
	door := openDoor(t)
	buy(t, door, "before")

	if said := command(t, time.Minute, "vagrant", "ssh", "client1", "-c", "hostname"); strings.TrimSpace(said) != "client1" {
		t.Errorf("vagrant ssh: %q", said)
	}
	former := asItIs(t)
	command(t, 5*time.Minute, "vagrant", "up", "--provider", "docker")
	if now := asItIs(t); now != former {
		t.Errorf("a second 'vagrant up' made of %s: %s", former, now)
	}

	command(t, 5*time.Minute, "vagrant", "halt")
	command(t, 5*time.Minute, "vagrant", "up", "--provider", "docker")
	buy(t, door, "after")
}

// asItIs is when containers and agents began, and as of when the jobs are.
func asItIs(t *testing.T) string {
	t.Helper()
	began := command(t, time.Minute, "docker", "inspect", "-f", "{{.Id}} {{.State.StartedAt}}", "bookstore-server1", "bookstore-client1", "bookstore-client2", "bookstore-client3")
	return began + command(t, time.Minute, "vagrant", "ssh", "server1", "-c", `systemctl show -p ActiveEnterTimestamp bookstore-consul bookstore-nomad
		set -a; . /var/lib/bookstore/access/operator.env
		/opt/bookstore/bin/nomad operator api /v1/jobs | jq -c '[.[] | select(.Type == "service") | [.ID, .JobModifyIndex]]' `)
}

// command runs a program within a time, and returns what it prints.
func command(t *testing.T, limit time.Duration, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr, cmd.WaitDelay = &stderr, 5*time.Second
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// openDoor is the ingress of a client machine, as a buyer on this one sees it.
func openDoor(t *testing.T) firstorder.Door {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(".vagrant", "keys", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("ca.pem has no certificate")
	}
	trust := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
	return firstorder.Door{
		URL:    "https://10.31.251.101:8443",
		Client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: trust}},
	}
}

// buy buys a book, as soon as the shop is open.
func buy(t *testing.T, d firstorder.Door, key string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	customer := "vagrant-" + key
	var order struct {
		ID string `json:"id"`
	}
	err := wait.Until(ctx, time.Second, func(ctx context.Context) error {
		var books struct {
			Items []struct {
				ID      int64 `json:"id"`
				InStock bool  `json:"inStock"`
			} `json:"items"`
		}
		if err := d.Call(ctx, http.MethodGet, "/books?limit=100", nil, "", &books); err != nil {
			return err
		}
		for _, book := range books.Items {
			if !book.InStock {
				continue
			}
			body := fmt.Appendf(nil, `{"customerId": %q, "items": [{"bookId": %d, "quantity": 1}]}`, customer, book.ID)
			return d.Call(ctx, http.MethodPost, "/orders", body, customer, &order)
		}
		return fmt.Errorf("none of %d books is in stock", len(books.Items))
	})
	if err != nil || order.ID == "" {
		t.Fatalf("no book could be bought through a client's ingress: %v", err)
	}
	t.Logf("order %s", order.ID)
}
