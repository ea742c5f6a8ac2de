package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

//go:embed story.json
var story []byte

// tale is story.json: chapters of steps, each a call of the API.
type tale struct {
	Name, About string
	Variables   map[string]string
	Chapters    []struct {
		Name, About string
		Steps       []step
	}
}

// step is one request and the checks of its answer. Scripts may use body,
// header(name) and get(variable).
type step struct {
	Name    string
	Call    string            // the operation's id
	Path    map[string]string // values of its path parameters
	Query   map[string]string
	Headers map[string]string
	Body    json.RawMessage     // none: the document's example. "{{+name}}" is a number
	Status  int                 // of the answer
	Until   string              // the request is repeated until this is true
	Before  []string            // lines of script before the rest
	Save    map[string]string   // variables and the expressions saved in them
	Checks  map[string][]string // by name, lines of script
}

// document is the OpenAPI document as far as a collection needs it.
type document struct {
	Info  struct{ Description string }
	Paths map[string]map[string]struct {
		OperationID, Description string
		Security                 []map[string][]string
		RequestBody              struct {
			Content map[string]struct{ Example json.RawMessage }
		}
	}
}

// operation is one call of the document.
type operation struct {
	method, path, description string
	operators                 bool // who alone may call it
	example                   json.RawMessage
}

// operations are all calls by their ids.
func (d document) operations() map[string]operation {
	found := map[string]operation{}
	for path, methods := range d.Paths {
		for method, o := range methods {
			_, operators := o.Security[0]["operator"]
			found[o.OperationID] = operation{
				method: method, path: path, description: o.Description, operators: operators,
				example: o.RequestBody.Content["application/json"].Example,
			}
		}
	}
	return found
}

// begin makes the keys and names of each run different.
const begin = "pm.collectionVariables.set('run', pm.variables.replaceIn('{{$guid}}'));"

// identify sends the token, if there is one.
var identify = []string{
	"const token = pm.variables.get('token');",
	"if (token) pm.request.headers.upsert({ key: 'Authorization', value: `Bearer ${token}` });",
}

var asOperator = []string{
	"const operator = pm.variables.get('operatorToken');",
	"if (operator) pm.request.headers.upsert({ key: 'Authorization', value: `Bearer ${operator}` });",
}

// helpers are what the scripts of a step may use.
var helpers = []string{
	"const header = (name) => pm.response.headers.get(name);",
	"const get = (name) => pm.collectionVariables.get(name);",
	"const body = (header('Content-Type') ?? '').includes('json') ? pm.response.json() : undefined;",
}

// maxRepeats is how often a step is repeated, a fifth of a second apart.
const maxRepeats = 150

// tests is the script that judges the step's answer.
func (s step) tests(o operation) []string {
	lines := append(slices.Clone(helpers), s.Before...)
	if s.Until != "" {
		lines = append(lines, repeat(s.Until)...)
	}
	if o.operators {
		lines = append(lines,
			"if (!pm.variables.get('operatorToken')) {",
			"  pm.test('is for operators', () => pm.expect(pm.response.code).to.be.oneOf([401, 403]));",
			"  return;",
			"}")
	}
	lines = append(lines, test(fmt.Sprintf("is answered %d", s.Status), fmt.Sprintf("pm.response.to.have.status(%d);", s.Status))...)
	for _, name := range slices.Sorted(maps.Keys(s.Save)) {
		lines = append(lines, fmt.Sprintf("pm.collectionVariables.set('%s', %s);", name, s.Save[name]))
	}
	for _, what := range slices.Sorted(maps.Keys(s.Checks)) {
		lines = append(lines, test(what, s.Checks[what]...)...)
	}
	return lines
}

// repeat repeats the step until the condition holds; only then it is judged.
func repeat(until string) []string {
	return []string{
		"const tries = Number(get('tries') ?? 0) + 1;",
		fmt.Sprintf("if (!(%s) && tries < %d) {", until, maxRepeats),
		"  pm.collectionVariables.set('tries', tries);",
		"  pm.execution.setNextRequest(pm.info.requestName);",
		"  setTimeout(() => {}, 200);",
		"  return;",
		"}",
		"pm.collectionVariables.unset('tries');",
	}
}

func test(what string, lines ...string) []string {
	out := []string{"pm.test(" + strconv.Quote(what) + ", () => {"}
	for _, line := range lines {
		out = append(out, "  "+line)
	}
	return append(out, "});")
}
