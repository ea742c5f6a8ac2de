package catalogue

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// asText is the base of what arrives as text for want of a better type.
const asText = "text:"

// pgtype is a row of pg_type, as far as it matters.
type pgtype struct {
	OID     uint32
	Name    string // with its schema, unless it is PostgreSQL's own
	Kind    string // b base, d domain, e enum, …
	Array   bool
	Elem    uint32
	Base    uint32
	Typmod  int32
	NumDims int
}

type pgtypes map[uint32]pgtype

func readTypes(ctx context.Context, conn *pgx.Conn) (pgtypes, error) {
	rows, err := conn.Query(ctx, `
		select t.oid, case when n.nspname = 'pg_catalog' then '' else n.nspname || '.' end || t.typname as name,
		       t.typtype::text as kind, coalesce(e.typarray = t.oid, false) as array, t.typelem as elem,
		       t.typbasetype as base, t.typtypmod as typmod, t.typndims::int as num_dims
		from pg_type t
		join pg_namespace n on n.oid = t.typnamespace
		left join pg_type e on e.oid = t.typelem`)
	if err != nil {
		return nil, fmt.Errorf("read the types: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[pgtype])
	if err != nil {
		return nil, fmt.Errorf("read the types: %w", err)
	}
	types := make(pgtypes, len(all))
	for _, t := range all {
		types[t.OID] = t
	}
	return types, nil
}

// resolve finds what a column's type comes down to: through domains to their base, through arrays
// to their element. A column of dims 0 may be of a domain that is an array.
func (p pgtypes) resolve(c *Column, oid uint32, typmod int32) {
	list := false
	for t := p[oid]; ; t = p[oid] {
		switch {
		case t.Kind == "d":
			if t.Typmod != -1 {
				typmod = t.Typmod
			}
			c.Dims += t.NumDims
			oid = t.Base
		case t.Array && list: // arrays in domains in arrays
			c.Base, c.Dims, c.Duck = asText, 0, "VARCHAR"
			return
		case t.Array:
			list = true
			c.Dims = max(c.Dims, 1)
			oid = t.Elem
		default:
			c.Base = base(t, typmod)
			c.Duck = duck(c.Base, typmod)
			if !c.Exact() {
				c.Dims = 0 // the array is a text as a whole
			}
			c.Duck += strings.Repeat("[]", c.Dims)
			if c.Tag == Hash {
				c.Base, c.Dims, c.Duck = "text", 0, "VARCHAR"
			}
			return
		}
	}
}

func base(t pgtype, typmod int32) string {
	_, known := forms[t.Name]
	switch {
	case t.Kind == "e":
		return "text"
	case !known:
		return asText
	case t.Name == "numeric":
		if p, s := precision(typmod); p < 1 || p > 38 || s < 0 || s > p {
			return asText
		}
	}
	return t.Name
}

func duck(base string, typmod int32) string {
	if base == "numeric" {
		p, s := precision(typmod)
		return fmt.Sprintf("DECIMAL(%d,%d)", p, s)
	}
	return forms[base].duck
}

// precision of a numeric is in its modifier, the scale as a signed number of eleven bits.
func precision(typmod int32) (precision, scale int) {
	if typmod < 4 {
		return 0, 0
	}
	m := int(typmod - 4)
	return m >> 16 & 0xffff, (m&0x7ff ^ 1024) - 1024
}

// form is how a type travels: as PostgreSQL's text, which parse makes the warehouse's value of,
// and show turns back into, letter for letter. $ stands for the value.
type form struct {
	duck  string // its type in the warehouse
	text  string // PostgreSQL: its text; empty: $::text
	parse string // DuckDB: the value of a text; empty: reading the CSV does it
	show  string // DuckDB: the text of a value; empty: $::varchar
}

// Years before Christ are written differently.
const (
	dateBC = `case when suffix($, 'BC') then replace($, ' BC', ' (BC)') else $ end`
	timeBC = `case when suffix($, 'BC') then regexp_replace($, '^(\S+) (\S+) BC', '\1 (BC) \2') else $ end`
	showBC = `case when contains($::varchar, '(BC)') then replace($::varchar, ' (BC)', '') || ' BC' else $::varchar end`
)

// What does not stand here is text: unknown types, a numeric without bounds, tsvector, interval.
var forms = map[string]form{
	"int2":        {duck: "SMALLINT"},
	"int4":        {duck: "INTEGER"},
	"int8":        {duck: "BIGINT"},
	"xid8":        {duck: "UBIGINT"},
	"numeric":     {duck: "DECIMAL"},
	"bool":        {duck: "BOOLEAN"},
	"text":        {duck: "VARCHAR"},
	"varchar":     {duck: "VARCHAR"},
	"bpchar":      {duck: "VARCHAR"},
	"uuid":        {duck: "UUID"},
	"time":        {duck: "TIME"},
	"date":        {duck: "DATE", parse: "(" + dateBC + ")::date", show: showBC},
	"timestamp":   {duck: "TIMESTAMP", parse: "(" + timeBC + ")::timestamp", show: showBC},
	"timestamptz": {duck: "TIMESTAMPTZ", parse: "(" + timeBC + ")::timestamptz", show: showBC},
	"json":        {duck: "JSON", parse: "$::json"},
	"jsonb":       {duck: "JSON", parse: "$::json"},
	"bytea":       {duck: "BLOB", parse: "unhex($[3:])", show: `'\x' || lower(hex($))`},
	// Decimal digits that mean the same float are written in more than one way: the bits are not.
	"float4":   {duck: "FLOAT", text: "('x' || encode(float4send($), 'hex'))::bit(32)::text", show: "$::bit::varchar"},
	"float8":   {duck: "DOUBLE", text: "('x' || encode(float8send($), 'hex'))::bit(64)::text", show: "$::bit::varchar"},
	"interval": {duck: "VARCHAR"},
	asText:     {duck: "VARCHAR"},
}

func fill(template, value string) string { return strings.ReplaceAll(template, "$", value) }

// Quote writes a name as PostgreSQL and DuckDB read it.
func Quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// Literal writes a text as PostgreSQL and DuckDB read it.
func Literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// Sent is the expression of PostgreSQL whose CSV is read by the warehouse; of is what the column
// is a column of, with its dot, or empty.
func (c Column) Sent(of string) string {
	name := of + Quote(c.Name)
	switch {
	case c.Tag == Hash:
		return "encode(sha256(convert_to(" + name + "::text, 'UTF8')), 'hex')"
	case c.Dims > 0:
		return "to_json(" + name + "::text[])"
	case c.Base == "bpchar" || c.Base == asText:
		return name + "::text" // the text of a cast is not always what COPY writes
	default:
		return name
	}
}

// Read is DuckDB's type in which the CSV is read.
func (c Column) Read() string {
	if c.Dims > 0 || forms[c.Base].parse != "" {
		return "VARCHAR"
	}
	return c.Duck
}

// Parsed is DuckDB's expression that makes the value of what was read.
func (c Column) Parsed() string {
	name, parse := Quote(c.Here()), forms[c.Base].parse
	switch {
	case c.Dims == 0 && parse == "":
		return name
	case c.Dims == 0:
		return fill(parse, name)
	case parse == "":
		return name + "::json::" + "varchar" + strings.Repeat("[]", c.Dims) + "::" + c.Duck
	default:
		return each(c.Dims, name+"::json::varchar"+strings.Repeat("[]", c.Dims), parse)
	}
}

// each applies an expression to all elements of a list of lists of … of dims depths.
func each(dims int, list, template string) string {
	if dims == 0 {
		return fill(template, list)
	}
	x := "e" + strings.Repeat("_", dims)
	return "list_transform(" + list + ", lambda " + x + ": " + each(dims-1, x, template) + ")"
}

// Text is PostgreSQL's expression for a column in the checksum, null only if the column is; Shown
// is DuckDB's, which gives the same.
func (c Column) Text() string {
	text := forms[c.Base].text
	if text == "" {
		text = "$::text"
	}
	name := Quote(c.Name)
	switch {
	case c.Tag == Hash:
		return c.Sent("")
	case c.Dims == 0:
		return fill(text, name)
	}
	return "case when " + name + " is not null then cardinality(" + name + ") || array_to_string(array(select " +
		fill(text, "e_") + " from unnest(" + name + ") e_), chr(30), chr(29)) end"
}

// Shown is DuckDB's expression for a column in the checksum, which gives what Text does.
func (c Column) Shown() string {
	show := forms[c.Base].show
	if show == "" {
		show = "$::varchar"
	}
	name := Quote(c.Here())
	if c.Dims == 0 {
		return fill(show, name)
	}
	flat := strings.Repeat("flatten(", c.Dims-1) + name + strings.Repeat(")", c.Dims-1)
	return "len(" + flat + ") || array_to_string(list_transform(" + flat + ", lambda e_: coalesce(" +
		fill(show, "e_") + ", chr(29))), chr(30))"
}
