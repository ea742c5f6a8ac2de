package report

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// dictionarySQL reads what a run has written down about its tables and columns, in the order of the databases.
const dictionarySQL = `
select database || '.' || table_name, coalesce(table_comment, ''), column_name, type, source_type, coalesce(comment, '')
from warehouse.columns order by database, table_name, position`

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

func markdown(out io.Writer, p page) error {
	var b strings.Builder
	cell := strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;")
	fmt.Fprintf(&b, "# %s\n%s\n", p.Title, p.Period)
	for _, s := range p.Sections {
		fmt.Fprintf(&b, "\n## %s\n", s.Title)
		if s.About != "" {
			fmt.Fprintf(&b, "%s\n", s.About)
		}
		b.WriteString("\n| column | type | in PostgreSQL | about |\n|---|---|---|---|\n")
		for _, row := range s.Rows {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", cell.Replace(*row[0]), cell.Replace(*row[1]), cell.Replace(*row[2]), cell.Replace(*row[3]))
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
