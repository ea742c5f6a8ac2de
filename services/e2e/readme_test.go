//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// examples turns the marked blocks of a Markdown text into one script; see doc.go.
func examples(markdown string) (script string, blocks int) {
	var out strings.Builder
	marked, inside := false, false
	for i, line := range strings.Split(markdown, "\n") {
		switch text := strings.TrimSpace(line); {
		case inside && strings.HasPrefix(text, "```"):
			inside = false
		case inside:
			out.WriteString(line + "\n")
		case text == "<!-- test -->":
			marked = true
		case marked && text == "```bash":
			marked, inside = false, true
			blocks++
			fmt.Fprintf(&out, "echo '# the example at README.md:%d' >&2\n", i+1)
		case text != "":
			marked = false
		}
	}
	return out.String(), blocks
}

func TestReadmeExamples(t *testing.T) {
	markdown, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	script, blocks := examples(string(markdown))
	if blocks == 0 {
		t.Fatal("README.md has no block that follows <!-- test -->")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = "../.."
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("an example fails: %v\n%s", err, out)
	}
}
