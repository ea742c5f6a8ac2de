package jobs_test

import (
	"cmp"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"
)

// rendersSecret matches a template that renders a variable, a private key or a token. A variable may have what is no
// secret, such as the agents' CA; a rule without exceptions is easier to keep.
var rendersSecret = regexp.MustCompile(`nomadVar|caLeaf|PrivateKey|TOKEN|_token|secret "`)

// ruleSecretFiles: what a template renders of secrets is in the task's secrets folder, which is in memory, and readable
// for the task's user alone. A batch task may write to it too, because it empties it when it has succeeded
// (program.RunTask, patroni/image/restore.sh).
func ruleSecretFiles(t *testing.T, p parsed) {
	perms := []string{"0400", "0600"}
	if *p.raw.Type == "batch" {
		perms = perms[1:]
	}
	for _, g := range p.raw.TaskGroups {
		for _, task := range g.Tasks {
			for _, tmpl := range task.Templates {
				if tmpl.EmbeddedTmpl == nil || !rendersSecret.MatchString(*tmpl.EmbeddedTmpl) {
					continue
				}
				secretFile(t, task, tmpl, perms)
			}
		}
	}
}

func secretFile(t *testing.T, task *api.Task, tmpl *api.Template, perms []string) {
	t.Helper()
	file := "task " + task.Name + ": " + *tmpl.DestPath
	if !strings.HasPrefix(*tmpl.DestPath, "${NOMAD_SECRETS_DIR}/") {
		t.Errorf("%s is not in ${NOMAD_SECRETS_DIR}", file)
	}
	if tmpl.Perms == nil || !slices.Contains(perms, *tmpl.Perms) {
		t.Errorf("%s: perms is none of %q", file, perms)
	}
	image, _ := task.Config["image"].(string)
	name, _, _ := strings.Cut(strings.TrimPrefix(image, "bookstore/"), ":")
	user := cmp.Or(task.User, userOf(t, name))
	if tmpl.Uid == nil || tmpl.Gid == nil || user != strconv.Itoa(*tmpl.Uid) || user != strconv.Itoa(*tmpl.Gid) {
		t.Errorf("%s: uid and gid are not those of the task, %s", file, user)
	}
}

// dockerfiles are the images that are not of a service alone.
var dockerfiles = map[string]string{
	"patroni": "../patroni/image/Dockerfile", "warehouse": "../warehouse/image/Dockerfile",
	"redis": "images/redis/Dockerfile", "prometheus": "images/prometheus/Dockerfile", "s3": "images/s3/Dockerfile", "acme": "images/acme/Dockerfile",
	"envoy": "images/envoy/Dockerfile", "alertmanager": "images/alertmanager/Dockerfile",
}

// imageUser matches the number of the user that an image's processes have: where it is made, or where it is stated.
var imageUser = regexp.MustCompile(`(?m)(?:--uid |^USER )(\d+)\b`)

// userOf is the user that an image's processes have.
func userOf(t *testing.T, image string) string {
	t.Helper()
	file := cmp.Or(dockerfiles[image], "../services/Dockerfile")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	user := imageUser.FindSubmatch(text)
	if user == nil {
		t.Fatalf("%s states no user by its number", file)
	}
	return string(user[1])
}
