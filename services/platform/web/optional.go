package web

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Optional is a member of a partial update, which may be absent, null or a
// value, and means something else each time.
type Optional[T any] struct {
	Set   bool // the member is there
	Null  bool // and it is null
	Value T
}

// UnmarshalJSONFrom reads the member's value.
func (o *Optional[T]) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	o.Set = true
	if decoder.PeekKind() == 'n' {
		o.Null = true
		return decoder.SkipValue()
	}
	return json.UnmarshalDecode(decoder, &o.Value)
}
