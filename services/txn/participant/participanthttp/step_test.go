package participanthttp_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/participant/participanthttp"
)

var say = participant.Step[word]{
	Do: func(ctx context.Context, tx pgx.Tx, k participant.Key, w word) (any, error) {
		switch w {
		case "no":
			f := fault.New(fault.VersionMismatch, "no more words")
			f.Details = map[string]any{"left": 0}
			return nil, f
		case "busy":
			return nil, fault.New(fault.Contended, "others speak")
		}
		_, err := tx.Exec(ctx, "insert into words (word, saga, step) values ($1, $2, $3)", w, k.Saga, k.Step)
		return message{string(w)}, err
	},
	Undo: func(ctx context.Context, tx pgx.Tx, k participant.Key, result json.RawMessage) error {
		var was message
		if err := json.Unmarshal(result, &was); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "delete from words where word = $1 and saga = $2 and step = $3", was.Word, k.Saga, k.Step)
		return err
	},
}

// nod has no result and no undo.
var nod = participant.Step[word]{
	Do: func(context.Context, pgx.Tx, participant.Key, word) (any, error) { return nil, nil },
}

func TestAStepOverHTTP(t *testing.T) {
	c := newClient(t)
	participanthttp.Step(c.app, "say_word", say.Handler(c.Participant), read)
	participanthttp.Step(c.app, "nod", nod.Handler(c.Participant), read)
	const a, b, d = "019aaf00-0000-4000-8000-00000000000a", "019aaf00-0000-4000-8000-00000000000b", "019aaf00-0000-4000-8000-00000000000d"
	yes, no := `{"payload":{"word":"yes"}}`, `{"payload":{"word":"no"}}`
	c.each("sagas/", []exchange{
		{a + "/steps/say_word/do", yes, 200, `{"result":{"word":`},
		{a + "/steps/say_word/do", yes, 200, `{"result":{"word":`},
		{a + "/steps/say_word/undo", `{}`, 200, `{"result":null}`},
		{a + "/steps/say_word/undo", `{}`, 200, `{"result":null}`},
		{a + "/steps/say_word/do", yes, 409, `"code":"aborted"`},
		{a + "/steps/nod/do", yes, 200, `{"result":null}`},
		{a + "/steps/nod/do", no, 200, `{"result":null}`},
		{b + "/steps/say_word/do", `{"payload":{"word":"busy"}}`, 409, `"code":"contended"`},
		{b + "/steps/say_word/do", no, 412, `"code":"version_mismatch"`},
		{b + "/steps/say_word/do", yes, 412, `"left":0`},
		{b + "/steps/nod/undo", `{}`, 200, `{"result":null}`},
		{b + "/steps/nod/do", yes, 409, `"code":"aborted"`},
		{d + "/steps/say_word/do", yes, 200, `"yes"`},
		{d + "/steps/shout/do", yes, 404, `"code":"not_found"`},
		{d + "/steps/say_word/do", `{}`, 422, `"field":"payload"`},
		{d + "/steps/say_word/do", `{"payload":null}`, 422, `"field":"payload"`},
		{d + "/steps/say_word/do", `{"payload":{"word":"x","more":1}}`, 400, `"field":"payload.more"`},
		{d + "/steps/say_word/do", `{"payload":{"word":7}}`, 400, `"field":"payload.word"`},
		{d + "/steps/say_word/do", yes + yes, 400, `"code":"malformed_request"`},
		{d + "/steps/say_word/undo", ``, 400, `"code":"malformed_request"`},
		{d + "/steps/say_word/undo", `{"payload":{}}`, 400, `"field":"payload"`},
		{"no-saga/steps/say_word/do", yes, 422, `"field":"saga"`},
		{strings.ToUpper(a) + "/steps/say_word/undo", `{}`, 422, `"field":"saga"`},
	})
	var saga, name string
	if err := c.pool.QueryRow(context.Background(), "select saga, step from words").Scan(&saga, &name); err != nil || saga != d || name != "say_word" {
		t.Errorf("stored under %q %q, %v", saga, name, err)
	}
}

// A handler of a service's own may act before its participant has seen the key.
func TestAHandlerIsGivenGoodKeysOnly(t *testing.T) {
	c := newClient(t)
	asked := 0
	participanthttp.Step(c.app, "ask_first", participant.StepHandler[word]{
		Do: func(ctx context.Context, k participant.Key, w word) (json.RawMessage, error) {
			asked++
			return c.Do(ctx, k, func(context.Context, pgx.Tx) (any, error) { return message{string(w)}, nil })
		},
		Undo: func(ctx context.Context, k participant.Key) error {
			asked++
			return c.Undo(ctx, k, nil)
		},
	}, read)
	const saga = "019aaf00-0000-4000-8000-00000000000a"
	c.each("sagas/", []exchange{
		{"no-saga/steps/ask_first/do", `{"payload":{"word":"yes"}}`, 422, `"field":"saga"`},
		{"no-saga/steps/ask_first/undo", `{}`, 422, `"field":"saga"`},
		{saga + "/steps/ask_first/do", `{}`, 422, `"field":"payload"`},
		{saga + "/steps/ask_first/do", `{"payload":{"word":"yes"}}`, 200, `{"result":{"word":"yes"}}`},
		{saga + "/steps/ask_first/undo", `{}`, 200, `{"result":null}`},
	})
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}
