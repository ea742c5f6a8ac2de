package saga

import (
	"encoding/json"
	"time"

	"bookstore/services/platform/fault"
)

// Definition says what a saga's steps are, in order. See ../README.md for how to
// write one.
type Definition struct {
	Name  string
	steps []definedStep
}

// StepOf is one step of a saga whose data is D.
type StepOf[D any] struct {
	Name string
	// At is the participant that makes the step. "" is an approval: nobody is
	// called, someone has to agree.
	At string
	// When leaves the step out of sagas for which it is false; nil never does.
	When func(d D) bool
	// Send is what the participant is sent.
	Send func(d D) any
	// Undo: the participant can undo it. Without it there is nothing to undo.
	Undo bool
	// Pivot: from its start on the saga is not cancelled any more, and no
	// deadline ends it; steps after it are tried until they are made or
	// refused. A pivot without Undo leaves no way back.
	Pivot bool
	// Outside: the participant passes it on to someone whom a restore of the
	// databases does not take back (Hold).
	Outside bool
}

type definedStep struct {
	name, at    string
	when        func(data json.RawMessage) (bool, error)
	send        func(data json.RawMessage) (any, error)
	undo, pivot bool
	outside     bool
}

func (d definedStep) approval() bool { return d.at == "" }

// Define makes a definition. Steps must have different names.
func Define[D any](name string, steps ...StepOf[D]) Definition {
	out := Definition{Name: name}
	for _, s := range steps {
		out.steps = append(out.steps, definedStep{
			name: s.Name, at: s.At, undo: s.Undo, pivot: s.Pivot, outside: s.Outside,
			when: func(data json.RawMessage) (bool, error) {
				if s.When == nil {
					return true, nil
				}
				d, err := decode[D](data)
				return err == nil && s.When(d), err
			},
			send: func(data json.RawMessage) (any, error) {
				d, err := decode[D](data)
				if err != nil {
					return nil, err
				}
				return s.Send(d), nil
			},
		})
	}
	return out
}

func decode[D any](data json.RawMessage) (d D, err error) {
	return d, fault.Wrap("read a saga's data", json.Unmarshal(data, &d))
}

// Participants lists the services that the steps are made at.
func (d Definition) Participants() []string {
	var names []string
	for _, s := range d.steps {
		if !s.approval() {
			names = append(names, s.at)
		}
	}
	return names
}

// step finds a step's definition.
func (d Definition) step(name string) (definedStep, bool) {
	for _, s := range d.steps {
		if s.name == name {
			return s, true
		}
	}
	return definedStep{}, false
}

// pastPivot tells whether the pivot has been started.
func (d Definition) pastPivot(s Saga) bool {
	for _, step := range s.Steps {
		if defined, ok := d.step(step.Name); ok && defined.pivot {
			return step.State != Pending
		}
	}
	return false
}

// begin is a new saga of this definition, its first step about to be made.
func (d Definition) begin(r Request, id string, now time.Time) (Saga, error) {
	data, err := json.Marshal(r.Data)
	if err != nil {
		return Saga{}, fault.Wrap("encode a saga's data", err)
	}
	s := Saga{
		ID: id, Definition: d.Name, Caller: r.Caller, Key: r.Key, State: Running, Data: data,
		Deadline: now.Add(r.Time), CreatedAt: now, UpdatedAt: now,
	}
	for _, defined := range d.steps {
		wanted, err := defined.when(data)
		if err != nil {
			return Saga{}, err
		}
		if wanted {
			s.Steps = append(s.Steps, Step{Name: defined.name, State: Pending})
		}
	}
	return d.forward(s, now), nil
}
