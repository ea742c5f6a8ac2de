//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// Where the test's ACME server and name server are. The latter says that every name is 127.0.0.1, where the ingress is.
const (
	directoryAddress  = "127.0.0.1:14000"
	directoryManaged  = "127.0.0.1:15000"
	nameServer        = "127.0.0.1:18053"
	nameServerManaged = "127.0.0.1:18055"
	shopName          = "shop.example.com"
	otherName         = "elsewhere.example.com" // a name that is not the shop's
)

// An ACME directory (Pebble, Let's Encrypt's own for tests) certifies the door: through the ingress, which takes the
// certificate while it serves. A run with nothing due does nothing; one that fails leaves the certificate and is seen.
func TestDoorByACME(t *testing.T) { //nolint:paralleltest // the door is closed while the ingress is replaced, before and after
	cluster.WaitHealthy(t, 2, cluster.Services...)
	ca := startDirectory(t)
	openDirectory(t)
	running := withACME(t, ca, shopName)
	since := begun(t, running)

	requireRedirect(t, "/books?limit=1")
	requireRedirect(t, "/.well-known/acme-challenge/none-of-that-name")
	if said, ended := renewal(t); ended != nil {
		t.Fatalf("%v: %s", ended, said)
	}
	var first *x509.Certificate
	shoptest.Eventually(t, time.Minute, "the directory's certificate at the door", func(context.Context) (err error) {
		first, err = certifiedDoor(t)
		return err
	})
	if now := begun(t, running); now != since {
		t.Errorf("the ingress ran since %s, now since %s", since, now)
	}
	requireRedirect(t, "/.well-known/acme-challenge/none-of-that-name")
	if said, ended := renewal(t); ended != nil || !strings.Contains(said, "nothing is due") {
		t.Errorf("with nothing due: %v: %s", ended, said)
	}

	submit(t, "acme", variablesFor(t, ca, shopName, otherName))
	said, ended := renewal(t)
	if ended == nil || !strings.Contains(said, "prove that "+otherName+" is the shop's") || !strings.Contains(said, "keeps the certificate that it has") {
		t.Errorf("with a name that is not the shop's: %v: %s", ended, said)
	}
	if now, err := certifiedDoor(t); err != nil || now.SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Errorf("after a failure the door has another certificate, %v", err)
	}
	if v := variable(t, "nomad/jobs/ingress"); v["challenge_token"] != "" || v["challenge_answer"] != "" {
		t.Error("a challenge is left")
	}
	shoptest.Eventually(t, 2*time.Minute, "the failure in the metrics", func(ctx context.Context) error {
		series, err := query(ctx, `nomad_nomad_job_summary_failed{parent_id="acme"} > 0`)
		if err == nil && len(series) == 0 {
			err = errors.New("there is none")
		}
		return err
	})
	ends, err := counted(t.Context(), t, "envoy_listener_ssl_certificate_expiration_unix_time_seconds", `envoy_tls_certificate="certificate"`)
	if err != nil || ends != float64(first.NotAfter.Unix()) {
		t.Errorf("the ingress says that its certificate ends at %.0f, it does at %d: %v", ends, first.NotAfter.Unix(), err)
	}
}

// startDirectory runs both servers until the test ends, and returns the certificate of the ACME server.
func startDirectory(t *testing.T) (ca []byte) {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "tool")
	build.Dir = shoptest.Repository("vagrant/provision/pebble")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build Pebble: %v: %s", err, out)
	}
	ca, key := selfSigned(t)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": directoryAddress, "managementListenAddress": directoryManaged,
		"certificate": dir + "/ca.pem", "privateKey": dir + "/key.pem", "httpPort": 8081, "tlsPort": 8443,
		"profiles": map[string]any{"default": map[string]any{"description": "ninety days", "validityPeriod": 7776000}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"ca.pem": ca, "key.pem": key, "pebble.json": config} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	serve(t, nil, dir+"/pebble-challtestsrv", "-defaultIPv4=127.0.0.1", "-defaultIPv6=", "-dnsserver="+nameServer, "-management="+nameServerManaged,
		"-http01=", "-https01=", "-doh=", "-tlsalpn01=")
	serve(t, []string{"PEBBLE_VA_NOSLEEP=1"}, dir+"/pebble", "-config="+dir+"/pebble.json", "-dnsserver="+nameServer)
	for _, address := range []string{directoryAddress, directoryManaged, nameServerManaged} {
		shoptest.Eventually(t, 30*time.Second, address, func(ctx context.Context) error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			if err == nil {
				err = conn.Close()
			}
			return err
		})
	}
	elsewhere := fmt.Sprintf(`{"host":"%s.","addresses":["127.0.0.9"]}`, otherName)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+nameServerManaged+"/add-a", strings.NewReader(elsewhere))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", res, err)
	}
	_ = res.Body.Close()
	return ca
}

// serve runs a program until the test ends, and shows what it said if the test failed.
func serve(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(name), said.String())
		}
	})
}

// selfSigned makes a certificate for 127.0.0.1 and its key, in PEM.
func selfSigned(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

// openDirectory opens the way to the directory for the ACME client until the test ends.
func openDirectory(t *testing.T) {
	t.Helper()
	firewall := func(ctx context.Context, env ...string) {
		cmd := cluster.Script(ctx, "52-egress.sh")
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("52-egress.sh: %v: %s", err, out)
		}
	}
	firewall(t.Context(), "BOOKSTORE_ACME_EGRESS="+directoryAddress)
	t.Cleanup(func() { firewall(context.WithoutCancel(t.Context())) })
}

// withACME has the ingress and the job acme be as they are with the directory, until the test ends, and returns the ingress.
func withACME(t *testing.T, ca []byte, domains ...string) *nomad.AllocationListStub {
	t.Helper()
	client := cluster.Nomad(t)
	before, _, err := client.Jobs().Info("ingress", nil)
	if err != nil {
		t.Fatal(err)
	}
	held := variable(t, "nomad/jobs/ingress")
	t.Cleanup(func() {
		purged := purge(client, "acme")
		_, forgotten := client.Variables().Delete("nomad/jobs/acme", nil)
		_, _, err := client.Variables().Update(&nomad.Variable{Path: "nomad/jobs/ingress", Items: held}, nil)
		_, _, restored := client.Jobs().Register(before, nil)
		if err := errors.Join(purged, forgotten, err, restored); err != nil {
			t.Error(err)
		}
		// The next tests come through the door.
		err = shoptest.Poll(context.WithoutCancel(t.Context()), 2*time.Minute, func(ctx context.Context) error {
			options := (&nomad.QueryOptions{}).WithContext(ctx)
			job, _, err := client.Jobs().Info("ingress", options)
			if err != nil {
				return err
			}
			d, _, err := client.Jobs().LatestDeployment("ingress", options)
			switch {
			case err != nil:
				return err
			case d == nil || d.JobVersion != *job.Version:
				return errors.New("its deployment has not begun")
			case d.Status != nomad.DeploymentStatusSuccessful:
				return errors.New(d.StatusDescription)
			}
			return nil
		})
		if err != nil {
			t.Errorf("the ingress as it was: %v", err)
		}
	})
	vars := variablesFor(t, ca, domains...)
	image, _ := before.TaskGroups[0].Tasks[0].Config["image"].(string)
	_, tag, _ := strings.Cut(image, ":")
	submit(t, "ingress", vars, "-var=envoy_version="+tag)
	submit(t, "acme", vars)
	shoptest.Eventually(t, 2*time.Minute, "an ingress that redirects", func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:8081")
		if err == nil {
			err = conn.Close()
		}
		return err
	})
	cluster.WaitDeployed(t, "ingress")
	return cluster.Running(t, "ingress")[0]
}

// purge has Nomad forget a job and its runs, whose failures would be measured for hours.
func purge(client *nomad.Client, job string) error {
	all, _, err := client.Jobs().PrefixList(job)
	for _, its := range all {
		if its.ID == job || its.ParentID == job {
			_, _, purged := client.Jobs().Deregister(its.ID, true, nil)
			err = errors.Join(err, purged)
		}
	}
	return err
}

// variablesFor writes the variables of one machine whose door a directory certifies.
func variablesFor(t *testing.T, ca []byte, domains ...string) (file string) {
	t.Helper()
	text, err := os.ReadFile(shoptest.Repository("jobs/vars/one.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	names, err := json.Marshal(domains)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "acme.hcl")
	text = fmt.Appendf(text, "\nacme = {\n  domains   = %s\n  email     = \"operator@example.com\"\n  directory = \"https://%s/dir\"\n  ca        = <<EOF\n%sEOF\n}\n",
		names, directoryAddress, ca)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// submit runs a job as an operator does by hand.
func submit(t *testing.T, job, vars string, args ...string) {
	t.Helper()
	args = append([]string{"job", "run", "-detach", "-hcl2-strict=false", "-var-file=" + vars}, args...)
	cmd := exec.CommandContext(t.Context(), cluster.Tools+"nomad", append(args, "jobs/"+job+".nomad.hcl")...)
	cmd.Dir, cmd.Env = shoptest.Repository("."), os.Environ()
	for name, value := range cluster.Operator(t) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("submit %s: %v: %s", job, err, out)
	}
}

// renewal runs the job acme and returns what it said, and an error unless it ended well.
func renewal(t *testing.T) (said string, ended error) {
	t.Helper()
	client := cluster.Nomad(t)
	evaluation, _, err := client.Jobs().PeriodicForce("acme", nil)
	if err != nil {
		t.Fatal(err)
	}
	begun, _, err := client.Evaluations().Info(evaluation, nil)
	if err != nil {
		t.Fatal(err)
	}
	var last *nomad.AllocationListStub
	shoptest.Eventually(t, 4*time.Minute, begun.JobID, func(ctx context.Context) error {
		all, _, err := client.Jobs().Allocations(begun.JobID, false, (&nomad.QueryOptions{}).WithContext(ctx))
		// Runs that begin within one second are one job to Nomad.
		all = slices.DeleteFunc(all, func(a *nomad.AllocationListStub) bool { return a.EvalID != evaluation })
		if err != nil || len(all) != 1 {
			return fmt.Errorf("%d allocations, %w", len(all), err)
		}
		if last = all[0]; last.ClientStatus != nomad.AllocClientStatusComplete && last.ClientStatus != nomad.AllocClientStatusFailed {
			return errors.New(last.ClientStatus)
		}
		return nil
	})
	for _, stream := range []string{"stdout", "stderr"} {
		frames, _ := client.AllocFS().Logs(&nomad.Allocation{ID: last.ID}, false, "acme", stream, nomad.OriginStart, 0, t.Context().Done(), nil)
		for frame := range frames {
			said += string(frame.Data)
		}
	}
	if last.ClientStatus != nomad.AllocClientStatusComplete {
		ended = errors.New("the run " + last.ClientStatus)
	}
	return said, ended
}

// begun is when the door's Envoy started.
func begun(t *testing.T, of *nomad.AllocationListStub) time.Time {
	t.Helper()
	now, _, err := cluster.Nomad(t).Allocations().Info(of.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	return now.TaskStates["connect-ingress-ingress"].StartedAt
}

// variable are the items of a variable of Nomad.
func variable(t *testing.T, path string) nomad.VariableItems {
	t.Helper()
	v, _, err := cluster.Nomad(t).Variables().Read(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return maps.Clone(v.Items)
}

// certifiedDoor is the certificate that the door has, if the directory signed it for the shop's name.
func certifiedDoor(t *testing.T) (*x509.Certificate, error) {
	t.Helper()
	insecure := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer insecure.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+directoryManaged+"/roots/0", nil)
	if err != nil {
		return nil, err
	}
	res, err := insecure.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	root, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: &tls.Config{RootCAs: roots, ServerName: shopName, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(t.Context(), "tcp", doorAddress(t))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	secured, _ := conn.(*tls.Conn)
	return secured.ConnectionState().PeerCertificates[0], nil
}

// requireRedirect: plain HTTP from the network leads to https, whatever it asks for.
func requireRedirect(t *testing.T, path string) {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:8081"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = shopName
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if want := "https://" + shopName + path; res.StatusCode != http.StatusPermanentRedirect || res.Header.Get("Location") != want {
		t.Errorf("%s is answered %s, Location %q, want %q", path, res.Status, res.Header.Get("Location"), want)
	}
}
