package main

import (
	_ "embed"
	"encoding/json"
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

// step is one request and what is held of its answer. Scripts may use body,
// header(name) and get(variable).
type step struct {
	Name    string
	Call    string            // the operation's id
	Path    map[string]string // values of its path parameters
	Query   map[string]string
	Headers map[string]string
	Body    json.RawMessage     // none: the document's example. "{{+name}}" is a number
	Status  int                 // what it must be answered with
	Until   string              // asked again until this is so
	Before  []string            // lines of script before the rest
	Save    map[string]string   // variables and what to keep in them
	Checks  map[string][]string // what must hold, in words and in lines of script
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
