package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// begin makes the keys and names of one run differ from those of every other.
const begin = "pm.collectionVariables.set('run', pm.variables.replaceIn('{{$guid}}'));"

// identify sends the token, if one is given: without one there is no header.
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

// patience is how often a step is asked again, a fifth of a second apart.
const patience = 150

// tests is the script that judges the step's answer.
func (s step) tests(o operation) []string {
	lines := append(slices.Clone(helpers), s.Before...)
	if s.Until != "" {
		lines = append(lines, again(s.Until)...)
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

// again has the step asked again until it is so, and judged only then.
func again(until string) []string {
	return []string{
		"const tries = Number(get('tries') ?? 0) + 1;",
		fmt.Sprintf("if (!(%s) && tries < %d) {", until, patience),
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
