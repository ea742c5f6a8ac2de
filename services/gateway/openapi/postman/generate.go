package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// generate makes the collection: the steps of the story, with calls of the document.
func generate(openapi, story []byte) ([]byte, error) {
	var d document
	if err := json.Unmarshal(openapi, &d); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	var t tale
	strict := json.NewDecoder(bytes.NewReader(story))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&t); err != nil {
		return nil, fmt.Errorf("read the story: %w", err)
	}
	made := collection{
		Info:     info{Name: t.Name, Description: t.About + "\n\n" + d.Info.Description, Schema: format},
		Event:    []event{on("prerequest", identify...)},
		Variable: pairs(t.Variables),
	}
	operations := d.operations()
	for _, chapter := range t.Chapters {
		f := folder{Name: chapter.Name, Description: chapter.About}
		for _, s := range chapter.Steps {
			o, known := operations[s.Call]
			if !known {
				return nil, fmt.Errorf("%s: the document has no call %q", s.Name, s.Call)
			}
			i, err := s.item(o)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.Name, err)
			}
			f.Item = append(f.Item, i)
		}
		made.Item = append(made.Item, f)
	}
	first := &made.Item[0].Item[0]
	first.Event = append([]event{on("prerequest", begin)}, first.Event...)
	return encode(made)
}

func (s step) item(o operation) (item, error) {
	to, err := s.address(o)
	if err != nil {
		return item{}, err
	}
	i := item{
		Name: s.Name, Event: []event{on("test", s.tests(o)...)}, Response: []string{},
		Request: request{Method: strings.ToUpper(o.method), Description: o.description, Header: pairs(s.Headers), URL: to},
	}
	if o.operators {
		i.Event = append([]event{on("prerequest", asOperator...)}, i.Event...)
	}
	content := s.Body
	if content == nil {
		content = o.example
	}
	if content != nil {
		i.Request.Header = append(i.Request.Header, variable{"Content-Type", "application/json"})
		i.Request.Body, err = raw(content)
	}
	return i, err
}

// address is the call's, with Postman's :name for its parameters.
func (s step) address(o operation) (address, error) {
	a := address{Host: []string{"{{baseUrl}}"}, Query: pairs(s.Query), Variable: pairs(s.Path)}
	named := 0
	for part := range strings.SplitSeq(strings.TrimPrefix(o.path, "/"), "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			if s.Path[name] == "" {
				return a, fmt.Errorf("no value is given for %s of %s", name, o.path)
			}
			part, named = ":"+name, named+1
		}
		a.Path = append(a.Path, part)
	}
	if named != len(s.Path) {
		return a, fmt.Errorf("%s does not have all of the parameters %v", o.path, s.Path)
	}
	a.Raw = a.Host[0] + "/" + strings.Join(a.Path, "/")
	sign := "?"
	for _, q := range a.Query {
		a.Raw += sign + q.Key + "=" + q.Value
		sign = "&"
	}
	return a, nil
}

// number is a variable that stands for a number of JSON.
var number = regexp.MustCompile(`"\{\{\+(\w+)\}\}"`)

func raw(content json.RawMessage) (*body, error) {
	var text bytes.Buffer
	if err := json.Indent(&text, content, "", "  "); err != nil {
		return nil, err
	}
	b := &body{Mode: "raw", Raw: number.ReplaceAllString(text.String(), "{{$1}}")}
	b.Options.Raw.Language = "json"
	return b, nil
}

// pairs are in the order of their names, so that every run makes the same.
func pairs(of map[string]string) []variable {
	list := []variable{}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		list = append(list, variable{name, of[name]})
	}
	return list
}

func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(v)
	return out.Bytes(), err
}

// The Postman Collection Format 2.1, as far as it is used.

const format = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"

type collection struct {
	Info     info       `json:"info"`
	Item     []folder   `json:"item"`
	Event    []event    `json:"event"`
	Variable []variable `json:"variable"`
}

type info struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Schema      string `json:"schema"`
}

type folder struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Item        []item `json:"item"`
}

type item struct {
	Name     string   `json:"name"`
	Event    []event  `json:"event,omitempty"`
	Request  request  `json:"request"`
	Response []string `json:"response"` // Postman wants the member
}

type request struct {
	Method      string     `json:"method"`
	Description string     `json:"description"`
	Header      []variable `json:"header"`
	Body        *body      `json:"body,omitempty"`
	URL         address    `json:"url"`
}

type body struct {
	Mode    string  `json:"mode"`
	Raw     string  `json:"raw"`
	Options options `json:"options"`
}

type options struct {
	Raw struct {
		Language string `json:"language"`
	} `json:"raw"`
}

type address struct {
	Raw      string     `json:"raw"`
	Host     []string   `json:"host"`
	Path     []string   `json:"path"`
	Query    []variable `json:"query,omitempty"`
	Variable []variable `json:"variable,omitempty"`
}

type variable struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type event struct {
	Listen string `json:"listen"`
	Script script `json:"script"`
}

type script struct {
	Type string   `json:"type"`
	Exec []string `json:"exec"`
}

func on(moment string, lines ...string) event {
	return event{Listen: moment, Script: script{Type: "text/javascript", Exec: lines}}
}
