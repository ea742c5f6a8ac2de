package fence_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/nomad/api"

	"bookstore/patroni/fence"
)

// The task's own API is a socket in its secrets folder.
func TestKillSendsSIGKILLThroughNomad(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "api.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	requested := make(chan string, 1)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Task, Signal string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		requested <- r.Method + " " + r.URL.Path + " " + r.Header.Get("X-Nomad-Token") + " " + body.Task + " " + body.Signal
		w.Write([]byte("{}"))
	})}}
	server.Start()
	t.Cleanup(server.Close)

	client, err := api.NewClient(&api.Config{Address: "unix://" + socket, SecretID: "its-token"})
	if err != nil {
		t.Fatal(err)
	}
	task := fence.NomadTask{Client: client, Allocation: "a1", Name: "patroni"}
	if err := task.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := <-requested, "PUT /v1/client/allocation/a1/signal its-token patroni SIGKILL"; got != want {
		t.Errorf("requested %q, want %q", got, want)
	}
	server.Close()
	if err := task.Kill(t.Context()); err == nil {
		t.Error("a Nomad that is away is no error")
	}
}

// Who is to stop is not kept, whatever it does at the moment, and neither is who has not come up.
func TestStaying(t *testing.T) {
	t.Parallel()
	answer := `[{"Name":"patroni.patroni[0]","DesiredStatus":"run","ClientStatus":"running"},
		{"Name":"patroni.patroni[1]","DesiredStatus":"stop","ClientStatus":"running"},
		{"Name":"patroni.patroni[2]","DesiredStatus":"run","ClientStatus":"pending"},
		{"Name":"patroni.patroni[3]","DesiredStatus":"run","ClientStatus":"running"},
		{"Name":"patroni.patroni[3]","DesiredStatus":"stop","ClientStatus":"complete"}]`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/job/patroni/allocations" {
			t.Errorf("requested %s", r.URL.Path)
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	client, err := api.NewClient(&api.Config{Address: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	job := fence.NomadJob{Client: client, Name: "patroni", Scope: "patroni"}
	if got, err := job.Staying(t.Context()); err != nil || !slices.Equal(got, []string{"patroni-0", "patroni-3"}) {
		t.Errorf("%v, %v", got, err)
	}
	server.Close()
	if _, err := job.Staying(t.Context()); err == nil {
		t.Error("a Nomad that is away is no error")
	}
}
