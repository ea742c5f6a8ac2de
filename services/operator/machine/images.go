package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Images are the tags of the images that this machine has built last, by name: the version and a hash of what the image
// was built from, so that a job that is given the tag is replaced exactly when its image changed.
func Images(ctx context.Context) (map[string]string, error) {
	names, err := docker(ctx, "image", "ls", "--filter", "label=bookstore.inputs", "--format", "{{.Repository}}:{{.Tag}}")
	if err != nil {
		return nil, err
	}
	inspect := []string{"image", "inspect", "--format", `{{range .RepoTags}}{{.}} {{end}}{{index .Config.Labels "bookstore.inputs"}}`}
	built := len(inspect)
	for name := range strings.FieldsSeq(names) {
		if strings.HasSuffix(name, ":"+Version) {
			inspect = append(inspect, name)
		}
	}
	if len(inspect) == built {
		return nil, errors.New("no image of the shop is on this machine: 'go tool task up' builds them")
	}
	lines, err := docker(ctx, inspect...)
	if err != nil {
		return nil, err
	}
	tags := map[string]string{}
	for line := range strings.Lines(lines) {
		words := strings.Fields(line)
		tag := Version + "-" + words[len(words)-1]
		for _, name := range words[:len(words)-1] {
			if image, ok := strings.CutSuffix(strings.TrimPrefix(name, "bookstore/"), ":"+tag); ok {
				tags[image] = tag
			}
		}
	}
	return tags, nil
}

func docker(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}
