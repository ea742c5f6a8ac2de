package vagrant_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// secretArgument matches a command of a script that is given a secret as an argument, which everybody on the machine can
// read: by jq, curl, redis-cli, nomad, consul, psql, or docker's environment. By stdin, a file or the environment it stays
// with its process.
var secretArgument = regexp.MustCompile(`(?i)\bjq\b.*--(arg|argjson)\s+(\S+\s+"?\$\{?)?\w*(token|password|secret|passwd)` +
	`|\bjq\b.*--args\b.*\$\{?\w*(token|password|secret|passwd)` +
	`|\bcurl\b.*\s(-H|--header|-u|--user|--oauth2-bearer)\s+[^@\s]|\bredis-cli\b.*\s(-a|--pass)\b` +
	`|\b(nomad|consul)\b.*\s--?(token|secret|management-token)[= ]` +
	`|\b(psql|pg_\w+|postgres)\b.*password=|[a-z]://[^/\s"]*:\$|\bopenssl\b.*-pass(in|out)? pass:|\bdocker\b.*(-e|--env)[= ]\S*(TOKEN|PASSWORD|SECRET)=`)

// secretFlag matches the same in a list of arguments of a Go program.
var secretFlag = regexp.MustCompile(`"(-H|--header|-a|--pass|--password|-u|--?token|--?secret|--env-var)(=[^"]*)?"`)

func TestNoSecretIsAnArgument(t *testing.T) {
	t.Parallel()
	for file, lines := range commands(t) {
		for _, line := range lines {
			if secretArgument.MatchString(line) {
				t.Errorf("%s: a secret as an argument: %s", file, line)
			}
		}
	}
	for _, file := range tracked(t, `\.go$`) {
		if file == "vagrant/arguments_test.go" {
			continue
		}
		for line := range strings.Lines(read(t, filepath.Join("..", file))) {
			if secretFlag.MatchString(line) || strings.Contains(line, "exec.") && secretArgument.MatchString(line) {
				t.Errorf("%s: a secret as an argument: %s", file, strings.TrimSpace(line))
			}
		}
	}
}

// The rule finds what it is about.
func TestSecretArgumentsAreFound(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		`jq -n --arg token "$TOKEN" '{token: $token}'`, `jq -n '$ARGS' --args "$password"`, `curl -fsS -H "X-Nomad-Token: $T" x`, `curl --user "a:$b" x`,
		`redis-cli --tls -a "$PASSWORD" ping`, `consul members -token="$T"`, `nomad var get -token $T x`, `consul acl token create -secret="$S"`,
		`psql "host=a password=$p"`, `psql "postgres://u:$p@h/d"`, `openssl enc -pass pass:$p`, `docker run -e TOKEN=$t x`,
	} {
		if !secretArgument.MatchString(line) {
			t.Errorf("not found: %s", line)
		}
	}
	for _, line := range []string{`jq -cn --arg s "$BOOKSTORE_SERVERS" x`, `curl -fsS --cacert "$ACCESS/ca.pem" x`, `CONSUL_HTTP_TOKEN=$(<file) consul acl token read -self`,
		`jq -n --rawfile secret "$file" --arg name "$name" '{SecretID: $secret}'`, `curl -H @<(printf 'X-Consul-Token: %s' "$(<"$file")") x`} {
		if secretArgument.MatchString(line) {
			t.Errorf("found wrongly: %s", line)
		}
	}
}
