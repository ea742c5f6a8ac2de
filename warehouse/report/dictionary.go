package report

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// dictionarySQL reads what a run has written down about its tables and columns, in the order of the databases.
const dictionarySQL = `
select "database" || '.' || "table", concat_ws('. ', nullif(table_comment, ''), rows || case rows when 1 then ' row' else ' rows' end),
       "column", case tag when 'omit' then '–' else "type" end, source_type,
       concat_ws('; ', case when "key" then 'key' end, case when nullable then 'may be null' end,
                 case tag when 'omit' then 'left out' when 'hash' then 'its SHA-256' end,
                 nullif(trim(regexp_replace(comment, 'warehouse:\s*\w+', '')), ''))
from warehouse.columns
order by "database", "table", position`

// dictionary writes what tables and columns there are.
func (o options) dictionary(ctx context.Context, dir string, stdout io.Writer) error {
	v, err := open(ctx, dir, o.asOf, o.zone)
	if err != nil {
		return err
	}
	defer v.close()
	sections, err := v.tables(ctx)
	if err != nil {
		return fmt.Errorf("read the columns of run %s: %w", v.run, err)
	}
	p := page{Title: "The warehouse's dictionary", Period: "run " + v.run, Sections: sections}
	return o.write(stdout, func(w io.Writer) error {
		switch o.format {
		case "", "markdown", "md":
			return markdown(w, p)
		case "html":
			return pageTemplate.Execute(w, p)
		}
		return fmt.Errorf("the format %q is none of markdown, html", o.format)
	})
}

func (v *version) tables(ctx context.Context) ([]section, error) {
	var found []section
	err := v.rows(ctx, dictionarySQL, func([]column) {}, func(row []*string) error {
		if last := len(found) - 1; last < 0 || found[last].Title != *row[0] {
			head := []column{{Name: "column"}, {Name: "type"}, {Name: "in PostgreSQL"}, {Name: "about"}}
			found = append(found, section{Title: *row[0], About: *row[1], Columns: head})
		}
		last := &found[len(found)-1]
		last.Rows = append(last.Rows, row[2:])
		return nil
	})
	return found, err
}

// written keeps a text of somebody's from being markup, in one line.
func written(s string) string {
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "`", "\\`", "](", `]\(`, "]:", `]\:`, "<", "&lt;").Replace(plain(strings.Join(strings.Fields(s), " ")))
}

func markdown(out io.Writer, p page) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n%s\n", p.Title, p.Period)
	for _, s := range p.Sections {
		fmt.Fprintf(&b, "\n## %s\n", written(s.Title))
		if s.About != "" {
			fmt.Fprintf(&b, "%s\n", written(s.About))
		}
		b.WriteString("\n| column | type | in PostgreSQL | about |\n|---|---|---|---|\n")
		for _, row := range s.Rows {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", written(*row[0]), written(*row[1]), written(*row[2]), written(*row[3]))
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
