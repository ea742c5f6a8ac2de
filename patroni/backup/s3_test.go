package backup_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"bookstore/services/operator/provide"
)

// startS3 runs the S3 server of the second repository on the site's folder s3, and returns its port.
func (s *site) startS3(t *testing.T) (port string) {
	t.Helper()
	program := "/opt/bookstore/bin/versitygw"
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: 'go tool task tools' builds it", err)
	}
	ca, caKey, err := provide.NewCA("a test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := provide.ServerCertificate(ca, caKey, "localhost", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for name, pem := range map[string]string{"ca.pem": ca, "s3.pem": certificate, "s3-key.pem": key} {
		if err := os.WriteFile(s.path(name), []byte(pem), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ = strings.Cut(listener.Addr().String(), ":")
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	server := exec.CommandContext(t.Context(), program, "--port", "127.0.0.1:"+port, "--region", "here", "--health", "/health", "--quiet",
		"--cert", s.path("s3.pem"), "--key", s.path("s3-key.pem"), "posix", s.path("s3"))
	server.Env = []string{"ROOT_ACCESS_KEY=access", "ROOT_SECRET_KEY=secret"}
	server.SysProcAttr = &syscall.SysProcAttr{Credential: credential(t)}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	s.eventually(t, "an S3 server", func() bool {
		answer, err := client.Get("https://127.0.0.1:" + port + "/health")
		return err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
	})
	return port
}
