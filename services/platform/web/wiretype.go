package web

import (
	"reflect"
	"time"
)

// wireType names a Go type as a reader of the API knows it.
func wireType(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		return wireType(t.Elem())
	}
	if t == reflect.TypeFor[time.Time]() {
		return "a time in RFC 3339"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int, reflect.Int64:
		return "an integer in range"
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint, reflect.Uint64:
		return "a non-negative integer in range"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "of another type"
	}
}
