package main

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
