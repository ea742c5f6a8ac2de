// Package config reads a binary's environment into one struct and checks it
// whole, so that a bad deployment fails at once and says everything at once.
package config

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/caarlos0/env/v11"
)

// Load reads the variables that T's `env` tags name; an empty variable counts
// as unset. Then it calls T's Validate() error, if there is one, and joins all
// problems of both.
func Load[T any](getenv func(string) string) (T, error) {
	var value T
	params, err := env.GetFieldParams(&value)
	if err != nil {
		return value, fmt.Errorf("read configuration tags: %w", err)
	}
	environment := make(map[string]string, len(params))
	for _, p := range params {
		if text := getenv(p.Key); text != "" {
			environment[p.Key] = text
		}
	}
	err = env.ParseWithOptions(&value, env.Options{Environment: environment})
	if v, ok := any(value).(interface{ Validate() error }); ok {
		err = errors.Join(err, v.Validate())
	}
	if err != nil {
		return value, fmt.Errorf("configuration: %w", err)
	}
	return value, nil
}

// Masked maps a configuration to the one log line that shows it: variable name
// to value, secrets masked.
func Masked(v any) map[string]string {
	out := map[string]string{}
	collect(reflect.Indirect(reflect.ValueOf(v)), out)
	return out
}

func collect(v reflect.Value, out map[string]string) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		name, tagged := field.Tag.Lookup("env")
		switch {
		case tagged:
			out[variable(name)] = fmt.Sprint(v.Field(i).Interface())
		case field.Type.Kind() == reflect.Struct:
			collect(v.Field(i), out)
		}
	}
}

// variable cuts the options off a tag such as "DB_DSN,required".
func variable(tag string) string {
	for i, r := range tag {
		if r == ',' {
			return tag[:i]
		}
	}
	return tag
}
