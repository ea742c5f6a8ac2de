// Package alertmanager_test holds Alertmanager's settings to what they promise, on the real program.
package alertmanager_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"golang.org/x/crypto/bcrypt"

	"bookstore/jobs/nomadtest"
	"bookstore/services/shoptest"
	"bookstore/services/shoptest/webhook"
)

// program is what 37-alertmanager.sh built.
const program = "/opt/bookstore/bin/alertmanager"

// password is what callers have.
const password = "the password of a test"

// render is a template as Nomad renders it of a variable with these items.
func render(t *testing.T, file string, items map[string]string) []byte {
	t.Helper()
	return nomadtest.Render(t, file, items, template.FuncMap{
		"toJSON": func(v any) (string, error) {
			text, err := json.Marshal(v)
			return string(text), err
		},
		"sprig_bcrypt": func(text string) (string, error) {
			hash, err := bcrypt.GenerateFromPassword([]byte(text), bcrypt.MinCost)
			return string(hash), err
		},
	})
}

// running is an Alertmanager.
type running struct {
	t    *testing.T
	url  string
	file string // its settings
	cmd  *exec.Cmd
}

// start starts one with the items of its variable. The waits are those of the file, of which tests cannot wait for all: minutes
// are seconds here.
func start(t *testing.T, items map[string]string) *running {
	t.Helper()
	dir := t.TempDir()
	r := &running{t: t, file: filepath.Join(dir, "alertmanager.yml")}
	r.write(items)
	web := filepath.Join(dir, "web.yml")
	if err := os.WriteFile(web, render(t, "web.yml.tpl", map[string]string{"password": password}), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	r.url = "http://" + address
	var said bytes.Buffer
	r.cmd = exec.Command(program, "--config.file="+r.file, "--web.config.file="+web, "--web.listen-address="+address,
		"--storage.path="+filepath.Join(dir, "data"), "--cluster.listen-address=")
	r.cmd.Stdout, r.cmd.Stderr = &said, &said
	if err := r.cmd.Start(); err != nil {
		t.Fatalf("%v: 'go tool task tools' builds it", err)
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		_ = r.cmd.Wait() // how it ends does not matter
		if t.Failed() {
			t.Log(said.String())
		}
	})
	shoptest.Eventually(t, 30*time.Second, "Alertmanager answers", func(context.Context) error {
		status, _, err := r.call(http.MethodGet, "/-/ready", password, nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
	return r
}

func (r *running) write(items map[string]string) {
	r.t.Helper()
	settings := render(r.t, "alertmanager.yml.tpl", items)
	for from, to := range map[string]string{"group_wait: 10s": "group_wait: 2s", "group_wait: 5s": "group_wait: 1s", "group_interval: 1m": "group_interval: 2s"} {
		if !bytes.Contains(settings, []byte(from)) {
			r.t.Fatalf("the settings have no %q", from)
		}
		settings = bytes.ReplaceAll(settings, []byte(from), []byte(to))
	}
	if err := os.WriteFile(r.file, settings, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// call calls the API as the operator.
func (r *running) call(method, path, password string, body any) (status int, answer []byte, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if password != "" {
		req.SetBasicAuth("operator", password)
	}
	res, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	var out bytes.Buffer
	_, err = out.ReadFrom(http.MaxBytesReader(nil, res.Body, 1<<20))
	return res.StatusCode, out.Bytes(), err
}

// fire posts alerts as Prometheus does: each is a list of label=value, and ends when it is to.
func (r *running) fire(ends time.Time, alerts ...string) {
	r.t.Helper()
	var body []map[string]any
	for _, alert := range alerts {
		labels := map[string]string{}
		for pair := range strings.FieldsSeq(alert) {
			name, value, _ := strings.Cut(pair, "=")
			labels[name] = value
		}
		body = append(body, map[string]any{"labels": labels, "endsAt": ends})
	}
	if status, answer, err := r.call(http.MethodPost, "/api/v2/alerts", password, body); err != nil || status != http.StatusOK {
		r.t.Fatalf("post alerts: %d %s %v", status, answer, err)
	}
}

// awaitTold waits until the receiver was told a status of an alert.
func awaitTold(t *testing.T, to *webhook.Receiver, rule, status string) {
	t.Helper()
	shoptest.Eventually(t, time.Minute, rule+" "+status, func(context.Context) error {
		if last, ok := to.Last(rule, nil); !ok || last.Status != status {
			return fmt.Errorf("told: %v", to.Told())
		}
		return nil
	})
}

func TestAlertsAreToldInGroupsAndResolve(t *testing.T) {
	t.Parallel()
	to := webhook.Listen(t, "127.0.0.1:0")
	r := start(t, map[string]string{"webhook_url": to.URL})
	hour := time.Now().Add(time.Hour)
	r.fire(hour, "alertname=TargetDown severity=warning job=books instance=a", "alertname=TargetDown severity=warning job=books instance=b",
		"alertname=CircuitOpen severity=critical destination=books")
	awaitTold(t, to, "TargetDown", "firing")
	awaitTold(t, to, "CircuitOpen", "firing")
	for _, n := range to.Told() {
		if n.GroupLabels["alertname"] == "TargetDown" && len(n.Alerts) != 2 {
			t.Errorf("what is wrong in two places is told in %d alerts at once", len(n.Alerts))
		}
	}
	r.fire(time.Now(), "alertname=CircuitOpen severity=critical destination=books")
	awaitTold(t, to, "CircuitOpen", "resolved")
}

// A machine that is gone is one alert.
func TestConsequencesAreNotTold(t *testing.T) {
	t.Parallel()
	to := webhook.Listen(t, "127.0.0.1:0")
	r := start(t, map[string]string{"webhook_url": to.URL})
	hour := time.Now().Add(time.Hour)
	var all []string
	for i, rule := range []string{"TargetDown", "InstanceMissing", "PlacementBlocked", "ServerMissing", "RedisNodeMissing", "DatabaseMemberMissing", "DatabaseMemberBehind"} {
		for instance := range 3 + i%2 {
			all = append(all, fmt.Sprintf("alertname=%s severity=warning job=job%d instance=%d", rule, i, instance))
		}
	}
	r.fire(hour, append(all, "alertname=MachineMissing severity=critical", "alertname=SagaStuck severity=critical saga=checkout")...)
	awaitTold(t, to, "MachineMissing", "firing")
	awaitTold(t, to, "SagaStuck", "firing") // no consequence of it
	// A later alert of the slower route has been told: those before it would have been.
	r.fire(hour, "alertname=WarehouseIncomplete severity=warning")
	awaitTold(t, to, "WarehouseIncomplete", "firing")
	rules := map[string]int{}
	for _, n := range to.Told() {
		for _, a := range n.Alerts {
			rules[a.Name()]++
		}
	}
	if len(rules) != 3 {
		t.Errorf("a machine is gone, and told is %v", rules)
	}
}

// The same SLO is told at its worst.
func TestOneSLOIsToldOnce(t *testing.T) {
	t.Parallel()
	to := webhook.Listen(t, "127.0.0.1:0")
	r := start(t, map[string]string{"webhook_url": to.URL})
	r.fire(time.Now().Add(time.Hour), "alertname=OrderSLO severity=critical sloth_slo=order sloth_id=a", "alertname=OrderSLO severity=warning sloth_slo=order sloth_id=a",
		"alertname=BrowseSLO severity=warning sloth_slo=browse sloth_id=b")
	awaitTold(t, to, "BrowseSLO", "firing")
	awaitTold(t, to, "OrderSLO", "firing")
	for _, n := range to.Told() {
		for _, a := range n.Alerts {
			if a.Name() == "OrderSLO" && a.Labels["severity"] != "critical" {
				t.Errorf("told is %v", a.Labels)
			}
		}
	}
}

// A change of who is told is followed while it runs. Nobody is told where there is nobody.
func TestReceiversAreFollowed(t *testing.T) {
	t.Parallel()
	to := webhook.Listen(t, "127.0.0.1:0")
	r := start(t, map[string]string{"password": password})
	r.fire(time.Now().Add(time.Hour), "alertname=SagaStuck severity=critical")
	r.write(map[string]string{"password": password, "webhook_url": to.URL})
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	awaitTold(t, to, "SagaStuck", "firing")
}

// Whoever has no password neither reads nor silences: such as a page in a browser, which may send no more.
func TestNobodySilencesWithoutThePassword(t *testing.T) {
	t.Parallel()
	r := start(t, map[string]string{"password": password})
	silence := map[string]any{
		"matchers": []map[string]any{{"name": "alertname", "value": ".+", "isRegex": true}}, "comment": "quiet", "createdBy": "nobody",
		"startsAt": time.Now(), "endsAt": time.Now().Add(time.Hour),
	}
	for _, wrong := range []string{"", "a guess"} {
		for _, path := range []string{"/api/v2/silences", "/api/v2/alerts", "/metrics"} {
			if status, answer, err := r.call(http.MethodPost, path, wrong, silence); err != nil || status != http.StatusUnauthorized {
				t.Errorf("%s with %q: %d %s %v", path, wrong, status, answer, err)
			}
		}
	}
	if status, answer, err := r.call(http.MethodPost, "/api/v2/silences", password, silence); err != nil || status != http.StatusOK {
		t.Errorf("the operator cannot silence: %d %s %v", status, answer, err)
	}
}

// Every set of items that 'shop alerts' can leave behind makes settings that Alertmanager takes.
func TestEverySetOfReceiversIsTaken(t *testing.T) {
	t.Parallel()
	mail := map[string]string{"smtp_smarthost": "mail.example.com:587", "email_from": "shop@example.com", "email_to": `"The operator" <operator@example.com>`}
	login := map[string]string{"smtp_username": "shop", "smtp_password": `quotes " and {{ braces }}`}
	hook := map[string]string{"webhook_url": "https://chat.example.com/hooks/1?a=b&c=d"}
	for name, c := range map[string]struct {
		items []map[string]string
		tells []string
	}{
		"e-mail":                       {[]map[string]string{mail}, []string{"email_configs", "smtp_smarthost"}},
		"e-mail with a login":          {[]map[string]string{mail, login}, []string{"email_configs", "smtp_auth_password"}},
		"both":                         {[]map[string]string{mail, login, hook}, []string{"email_configs", "webhook_configs"}},
		"a login without a server":     {[]map[string]string{login, hook}, []string{"webhook_configs"}},
		"a server and no addresses":    {[]map[string]string{{"smtp_smarthost": "mail.example.com:587"}}, nil},
		"addresses without the server": {[]map[string]string{{"email_to": "a@example.com", "email_from": "b@example.com"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			items := map[string]string{}
			for _, some := range c.items {
				maps.Copy(items, some)
			}
			r := start(t, items)
			for _, section := range []string{"email_configs", "webhook_configs", "smtp_smarthost", "smtp_auth_password"} {
				has := bytes.Contains(render(t, "alertmanager.yml.tpl", items), []byte(section+":"))
				if slices.Contains(c.tells, section) && !has {
					t.Errorf("no %s", section)
				}
			}
			_, answer, err := r.call(http.MethodGet, "/api/v2/status", password, nil)
			if err != nil || bytes.Contains(answer, []byte("quotes")) {
				t.Errorf("the page shows the password: %v", err)
			}
		})
	}
}

// What is inhibited is an alert that there is.
func TestInhibitedAlertsExist(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../prometheus/rules/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	var rules []byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, text...)
	}
	names := regexp.MustCompile(`alertname =~? "?([A-Za-z|]+)`).FindAllSubmatch(render(t, "alertmanager.yml.tpl", map[string]string{"password": password}), -1)
	if len(names) < 2 {
		t.Fatalf("the settings name %d alerts", len(names))
	}
	for _, match := range names {
		for name := range strings.SplitSeq(string(match[1]), "|") {
			if !bytes.Contains(rules, []byte("- alert: "+name+"\n")) {
				t.Errorf("there is no alert %s", name)
			}
		}
	}
}
