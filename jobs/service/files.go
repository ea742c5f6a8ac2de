package service

import (
	"bytes"
	"embed"
	"fmt"
	"strings"
	"text/template"

	"github.com/hashicorp/hcl/v2/hclwrite"
)

//go:embed *.tmpl
var templates embed.FS

// Files returns the text of every file that is made here, by its path in jobs/.
func Files() (map[string]string, error) {
	files := map[string]string{}
	for _, s := range Services() {
		for path, text := range map[string]string{
			s.Name + ".nomad.hcl":                        "service.nomad.hcl.tmpl",
			"mesh/service-defaults-" + s.Name + ".hcl":   "service-defaults.hcl.tmpl",
			"mesh/service-intentions-" + s.Name + ".hcl": "service-intentions.hcl.tmpl",
			"mesh/service-router-" + s.Name + ".hcl":     "service-router.hcl.tmpl",
		} {
			made, err := render(s, text)
			if err != nil {
				return nil, fmt.Errorf("make jobs/%s: %w", path, err)
			}
			files[path] = made
		}
	}
	return files, nil
}

// render fills one template in and formats it as `nomad fmt` does. What a service has of its own is in the template of
// its name, where there is one.
func render(s Service, file string) (string, error) {
	names := []string{file}
	if own := s.Name + strings.TrimPrefix(file, "service"); exists(own) {
		names = append(names, own)
	}
	// Job files have actions in {{ }} of their own, which Nomad renders.
	t, err := template.New(file).Delims("[[", "]]").Funcs(functions).ParseFS(templates, names...)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, s); err != nil {
		return "", err
	}
	return string(hclwrite.Format(out.Bytes())), nil
}

func exists(name string) bool {
	_, err := templates.Open(name)
	return err == nil
}

var functions = template.FuncMap{
	"header": func() string { return Header },
	"upper":  strings.ToUpper,
	"times":  func(a, b int) int { return a * b },
	"list":   func(words []string) string { return `["` + strings.Join(words, `", "`) + `"]` },
}
