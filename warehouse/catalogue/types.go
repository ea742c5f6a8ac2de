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
