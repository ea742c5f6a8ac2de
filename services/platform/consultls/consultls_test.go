package consultls_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"bookstore/services/platform/consultls"
	"bookstore/services/platform/redis/redistest"
)

// A client takes the agent's certificate exactly while the file has its CA.
func TestTheFileIsReadAtEveryConnection(t *testing.T) {
	t.Parallel()
	agent := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`"10.0.0.1:8300"`))
	}))
	t.Cleanup(agent.Close)
	its := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: agent.Certificate().Raw})
	others, err := os.ReadFile(redistest.Certificates(t, "redis").CA)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	has := func(text []byte) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	has(its)
	settings := api.DefaultNonPooledConfig()
	settings.Address, settings.TLSConfig.CAFile = agent.URL, file
	if err := consultls.Follow(settings); err != nil {
		t.Fatal(err)
	}
	client, err := api.NewClient(settings)
	if err != nil {
		t.Fatal(err)
	}
	for name, step := range map[string]struct {
		text  []byte
		taken bool
	}{"its CA": {its, true}, "another": {others, false}, "both": {append(others, its...), true}, "none": {nil, false}} {
		has(step.text)
		if _, err := client.Status().Leader(); (err == nil) != step.taken {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSettingsWithoutTLSStay(t *testing.T) {
	t.Parallel()
	settings := api.DefaultConfig()
	settings.Address = "127.0.0.1:8500"
	if err := consultls.Follow(settings); err != nil || settings.Transport.TLSClientConfig != nil {
		t.Errorf("%v, %v", settings.Transport.TLSClientConfig, err)
	}
	settings.Address, settings.TLSConfig.CAFile = "https://127.0.0.1:8501", filepath.Join(t.TempDir(), "none.pem")
	if err := consultls.Follow(settings); err == nil || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("a file that is not there: %v", err)
	}
}
