package jobs_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/jobs"
	"bookstore/services/operator/machine"
	"bookstore/services/operator/operatortest"
	"bookstore/services/operator/provide"
)

// Every job is submitted with the tag of its image, and one that has not changed stays the version that it is.
func TestSubmit(t *testing.T) {
	t.Parallel()
	c := operatortest.Start(t)
	root, err := machine.Root()
	if err != nil {
		t.Fatal(err)
	}
	// Nomad tells Consul of the ingress, which Consul takes only with the mesh's configuration.
	if err := provide.Mesh(t.Context(), c, root+"/jobs/mesh"); err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(jobs.Lasting, jobs.Clocked)
	files := jobs.Files{Root: root, Vars: root + "/jobs/vars/one.hcl", Tags: map[string]string{"envoy": "0.1.0-of-envoy"}}
	for _, name := range all {
		files.Tags[name] = "0.1.0-of-" + name
	}
	for range 2 {
		for _, name := range all {
			if err := files.Submit(t.Context(), c, name, nil); err != nil {
				t.Fatal(err)
			}
			if job, err := c.Job(t.Context(), name); err != nil || *job.Version != 0 {
				t.Errorf("%s: version %d, %v", name, *job.Version, err)
			}
		}
	}
	if image := imageOf(t, c, "books", "books"); image != "bookstore/books:0.1.0-of-books" {
		t.Errorf("books run %s", image)
	}

	files.Tags["books"] = "0.1.0-new"
	if err := files.Submit(t.Context(), c, "books", nil); err != nil {
		t.Fatal(err)
	}
	if image := imageOf(t, c, "books", "books"); image != "bookstore/books:0.1.0-new" {
		t.Errorf("after a new image books run %s", image)
	}
	if err := files.Submit(t.Context(), c, "restore", map[string]string{"step": "nix"}); err == nil || !strings.Contains(err.Error(), "One of check, to and swap") {
		t.Errorf("a variable that the job refuses: %v", err)
	}
	delete(files.Tags, "orders")
	if err := files.Submit(t.Context(), c, "orders", nil); err == nil || !strings.Contains(err.Error(), "'go tool task up' builds it") {
		t.Errorf("a job without an image: %v", err)
	}

	out := console.Console{Out: &strings.Builder{}}
	if err := jobs.Stop(t.Context(), c, out, "books", "nix"); err != nil {
		t.Error(err)
	}
	if job, err := c.Job(t.Context(), "books"); err != nil || !*job.Stop {
		t.Errorf("books was stopped: %v", err)
	}
	if err := jobs.StopAll(t.Context(), c, out); err != nil {
		t.Error(err)
	}
	if job, err := c.Job(t.Context(), "gateway"); err != nil || !*job.Stop {
		t.Errorf("all were stopped: %v", err)
	}
	for range 2 {
		if err := jobs.Purge(t.Context(), c, "books"); err != nil {
			t.Errorf("books was purged: %v", err)
		}
	}
	if _, err := c.Job(t.Context(), "books"); !errors.Is(err, cluster.ErrNoJob) {
		t.Errorf("books was purged: %v", err)
	}
}

// A run that is started is the one that is waited for.
func TestStart(t *testing.T) {
	t.Parallel()
	c := operatortest.Start(t)
	root, err := machine.Root()
	if err != nil {
		t.Fatal(err)
	}
	if run, err := jobs.Start(t.Context(), c, "backup"); err == nil || !strings.Contains(err.Error(), "'go tool task up' submits it") {
		t.Errorf("a run of a job that is not there: %s, %v", run, err)
	}
	files := jobs.Files{Root: root, Vars: root + "/jobs/vars/one.hcl", Tags: map[string]string{"backup": "0.1.0-x", "patroni": "0.1.0-y"}}
	if err := files.Submit(t.Context(), c, "backup", nil); err != nil {
		t.Fatal(err)
	}
	run, err := jobs.Start(t.Context(), c, "backup")
	if err != nil {
		t.Fatal(err)
	}
	if runs, err := c.Runs(t.Context(), "backup"); err != nil || len(runs) != 1 || runs[0].ID != run {
		t.Errorf("started %s, Nomad has %v, %v", run, runs, err)
	}
	var said strings.Builder
	err = jobs.Finish(t.Context(), c, console.Console{Out: &said}, run, time.Second, "backup")
	if err == nil || !strings.Contains(err.Error(), "'nomad job status "+run+"'") || !strings.Contains(said.String(), "pending") {
		t.Errorf("the end of a run that no node takes: %v, said %q", err, said.String())
	}
}

// A job that runs again is another version of itself, which its end belongs to.
func TestAgain(t *testing.T) {
	t.Parallel()
	c := operatortest.Start(t)
	root, err := machine.Root()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	again := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return jobs.Again(ctx, c, console.Console{Out: &said}, "migrate")
	}
	if err := again(); !errors.Is(err, cluster.ErrNoJob) || !strings.Contains(err.Error(), "'go tool task up'") {
		t.Errorf("a job that is not there: %v", err)
	}
	files := jobs.Files{Root: root, Vars: root + "/jobs/vars/one.hcl", Tags: map[string]string{"migrate": "0.1.0-x"}}
	if err := files.Submit(t.Context(), c, "migrate", nil); err != nil {
		t.Fatal(err)
	}
	before, err := c.Job(t.Context(), "migrate")
	if err != nil {
		t.Fatal(err)
	}
	if err := again(); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(said.String(), "migrate running") {
		t.Errorf("the end of a job that no node takes: %v, said %q", err, said.String())
	}
	if now, err := c.Job(t.Context(), "migrate"); err != nil || *now.Stop || *now.Version <= *before.Version {
		t.Errorf("version %d after %d, stopped: %t, %v", *now.Version, *before.Version, *now.Stop, err)
	}
}

// A deployment that failed once does not keep a job from being waited for; one that fails meanwhile is an error.
func TestAwaitAfterAFailedDeployment(t *testing.T) {
	t.Parallel()
	c := operatortest.Start(t)
	root, err := machine.Root()
	if err != nil {
		t.Fatal(err)
	}
	files := jobs.Files{Root: root, Vars: root + "/jobs/vars/one.hcl", Tags: map[string]string{"s3": "0.1.0-x"}}
	if err := files.Submit(t.Context(), c, "s3", nil); err != nil {
		t.Fatal(err)
	}
	await := func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		var said strings.Builder
		err := jobs.Await(ctx, c, console.Console{Out: &said}, "s3")
		return said.String(), err
	}
	fail := func() {
		deployment, _, err := c.Nomad.Jobs().LatestDeployment("s3", cluster.Query(t.Context()))
		if err != nil || deployment == nil {
			t.Errorf("deployment %v, %v", deployment, err)
			return
		}
		if _, _, err := c.Nomad.Deployments().Fail(deployment.ID, cluster.Write(t.Context())); err != nil {
			t.Error(err)
		}
	}
	time.AfterFunc(time.Second, fail)
	if said, err := await(t.Context()); err == nil || !strings.Contains(err.Error(), "job s3 failed") {
		t.Errorf("a deployment that fails meanwhile: %v, said %q", err, said)
	}
	if said, err := await(t.Context()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(said, "s3 0/1") {
		t.Errorf("a deployment that had failed before: %v, said %q", err, said)
	}
}

func imageOf(t *testing.T, c *cluster.Cluster, job, task string) string {
	t.Helper()
	found, err := c.Job(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range found.TaskGroups {
		for _, its := range group.Tasks {
			if its.Name == task {
				image, _ := its.Config["image"].(string)
				return image
			}
		}
	}
	t.Fatalf("job %s has no task %s", job, task)
	return ""
}
