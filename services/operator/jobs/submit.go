// Package jobs submits the shop's jobs and follows them until they are what they should be.
package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machine"
)

// Files are the job files of a checkout, and the tags of the images that they run with.
type Files struct {
	Root string            // of the repository
	Vars string            // the file of variables that differ between one machine and many
	Tags map[string]string // an image's tag, by its name
}

// Here are the job files of this repository with the images of this machine; BOOKSTORE_VARS names another file of
// variables than that for one machine.
func Here(ctx context.Context) (Files, error) {
	root, err := machine.Root()
	if err != nil {
		return Files{}, err
	}
	tags, err := machine.Images(ctx)
	if err != nil {
		return Files{}, err
	}
	vars := os.Getenv("BOOKSTORE_VARS")
	if vars == "" {
		vars = filepath.Join(root, "jobs/vars/one.hcl")
	}
	return Files{Root: root, Vars: vars, Tags: tags}, nil
}

// images are the jobs that do not run an image of their own name.
var images = map[string]string{"restore": "patroni"}

// versions are a job's variables of image tags: version, and <image>_version.
var versions = regexp.MustCompile(`(?m)^variable "((?:(\w+)_)?version)"`)

// Submit gives Nomad a job; one that has not changed is left as it runs. vars are its variables beyond those of all.
func (f Files) Submit(ctx context.Context, c *cluster.Cluster, name string, vars map[string]string) error {
	file := filepath.Join("jobs", name+".nomad.hcl")
	source, err := os.ReadFile(filepath.Join(f.Root, file))
	if err != nil {
		return fmt.Errorf("there is no job %s: %w", name, err)
	}
	set, err := f.variables(name, source)
	if err != nil {
		return err
	}
	maps.Copy(set, vars)
	job, err := f.parse(ctx, file, set)
	if err != nil {
		return fmt.Errorf("Nomad cannot read %s: %w", file, err) //nolint:staticcheck // a name
	}
	options := &nomad.RegisterOptions{
		// How many nodes Redis has is said by redis scale.
		PreserveCounts: name == "redis",
		Submission:     &nomad.JobSubmission{Source: string(source), Format: "hcl2", VariableFlags: set},
	}
	if _, _, err := c.Nomad.Jobs().RegisterOpts(job, options, cluster.Write(ctx)); err != nil {
		return fmt.Errorf("Nomad refused %s: %w", file, err) //nolint:staticcheck // a name
	}
	return nil
}

// variables are a job's images.
func (f Files) variables(name string, source []byte) (map[string]string, error) {
	set := map[string]string{}
	image := name
	if other, ok := images[name]; ok {
		image = other
	}
	needs := map[string]string{}
	for _, match := range versions.FindAllSubmatch(source, -1) {
		if variable, of := string(match[1]), string(match[2]); of != "" {
			needs[variable] = of // an image beside the job's own
		} else {
			needs[variable] = image
		}
	}
	for variable, image := range needs {
		tag, ok := f.Tags[image]
		if !ok {
			return nil, fmt.Errorf("the image %s is not on this machine: 'go tool task up' builds it", image)
		}
		set[variable] = tag
	}
	return set, nil
}

// parse has the program nomad read a job file: only it may load the files that jobs name.
func (f Files) parse(ctx context.Context, file string, set map[string]string) (*nomad.Job, error) {
	program, err := machine.Tool("nomad")
	if err != nil {
		return nil, err
	}
	args := []string{"job", "run", "-output", "-hcl2-strict=false", "-var-file=" + f.Vars}
	for key, value := range set {
		args = append(args, "-var="+key+"="+value)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, append(args, file)...)
	cmd.Dir, cmd.Stderr = f.Root, &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.New(strings.TrimSpace(stderr.String() + string(out)))
	}
	var parsed struct{ Job *nomad.Job }
	if err := json.Unmarshal(out, &parsed); err != nil {
		return nil, err
	}
	return parsed.Job, nil
}
