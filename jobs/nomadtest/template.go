// Package nomadtest does in tests what Nomad does with the files of jobs.
package nomadtest

import (
	"bytes"
	"maps"
	"os"
	"testing"
	"text/template"
)

// Render is a template as Nomad renders it where each variable has these items. functions are those of Nomad's, but nomadVar, that
// the template calls.
func Render(t testing.TB, file string, items map[string]string, functions template.FuncMap) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	type item struct{ Value string }
	variable := map[string]item{}
	for name, value := range items {
		variable[name] = item{value}
	}
	functions = maps.Clone(functions)
	functions["nomadVar"] = func(string) map[string]item { return variable }
	var out bytes.Buffer
	parsed, err := template.New(file).Funcs(functions).Parse(string(text))
	if err == nil {
		err = parsed.Execute(&out, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
