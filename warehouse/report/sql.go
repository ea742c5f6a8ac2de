package report

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// sql runs one statement, or a shell.
func (o options) sql(ctx context.Context, dir, statement string, stdin io.Reader, stdout, stderr io.Writer) error {
	v, err := open(ctx, dir, o.asOf, o.zone)
	if err != nil {
		return err
	}
	defer v.close()
	v.warn(stderr)
	if statement != "" {
		return o.write(stdout, func(w io.Writer) error { return v.statements(ctx, statement+"\n;", o.format, w) })
	}
	if file, ok := stdin.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			_, _ = fmt.Fprintf(stderr, "The shop at %s, read only; \"show all tables;\" lists what there is.\n", v.at)
			return v.shell(ctx, o.format, stdin, stdout, stderr)
		}
	}
	return o.write(stdout, func(w io.Writer) error {
		text, err := io.ReadAll(stdin)
		if err != nil {
			return err
		}
		return v.statements(ctx, string(text)+"\n;", o.format, w)
	})
}

// statements runs one after the other until one fails.
func (v *version) statements(ctx context.Context, text, format string, out io.Writer) error {
	list, rest := split(text)
	for _, s := range list {
		if err := v.statement(ctx, s, format, out); err != nil {
			return err
		}
	}
	if strings.TrimSpace(rest) != "" {
		return fmt.Errorf("a quote or comment does not end: %s", strings.TrimSpace(rest))
	}
	return nil
}

// shell reads statements until its input ends; one that fails does not end it.
func (v *version) shell(ctx context.Context, format string, in io.Reader, out, stderr io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lines := read(ctx, in)
	text, prompt := "", "warehouse> "
	for {
		_, _ = io.WriteString(stderr, prompt)
		line := `\q`
		select {
		case next, ok := <-lines:
			if ok {
				line = next
			}
		case <-ctx.Done():
		}
		if strings.TrimSpace(line) == `\q` {
			return nil
		}
		list, rest := split(text + line + "\n")
		for _, s := range list {
			if err := v.statement(ctx, s, format, out); err != nil {
				_, _ = fmt.Fprintln(stderr, err)
			}
		}
		if text, prompt = rest, "      ...> "; strings.TrimSpace(rest) == "" {
			text, prompt = "", "warehouse> "
		}
	}
}

// read passes lines on, beside whoever waits for one: a read of a terminal cannot be ended.
func read(ctx context.Context, in io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(in); scanner.Scan(); {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

var (
	explains  = regexp.MustCompile(`(?is)^explain(\s+analyze)?\s+(.*)$`)
	variables = regexp.MustCompile(`(?is)^set\s+variable\s+(\w+)\s*(?:=|to)\s*(.*)$`)
	queries   = regexp.MustCompile(`(?is)^(\(|select|from|with|values|table|show|describe|desc|summarize|pivot|unpivot)\b|^\(`)
)

// statement runs a query, explains one, or sets a variable. Each is put in parentheses, in which only a query is
// SQL: a session that may write its temporary files could write others by COPY.
func (v *version) statement(ctx context.Context, s, format string, out io.Writer) error {
	if m := explains.FindStringSubmatch(s); m != nil && queries.MatchString(m[2]) {
		var key, plan string
		err := v.conn.QueryRowContext(ctx, around("explain"+m[1]+" from (", m[2], ")")).Scan(&key, &plan)
		_, printed := fmt.Fprintln(out, plan)
		return errors.Join(err, printed)
	}
	if m := variables.FindStringSubmatch(s); m != nil {
		_, err := v.conn.ExecContext(ctx, around("set variable "+m[1]+" = (", m[2], ")"))
		return err
	}
	if !queries.MatchString(s) {
		return errors.New("a published version is only read: by queries, EXPLAIN and SET VARIABLE")
	}
	return v.answer(ctx, s, format, page{Title: "An answer of the warehouse", Period: "run " + v.run, Query: s}, out)
}

// token is what a semicolon may stand in without ending a statement, or one that ends it.
var token = regexp.MustCompile(`(?s)'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*\n|/\*.*?\*/|;|['"]|--|/\*|\$[A-Za-z_0-9]*\$`)

// split cuts SQL into the statements that have ended, without the comments before them, and the rest.
func split(text string) (statements []string, rest string) {
	begin, at := 0, 0
	for {
		m := token.FindStringIndex(text[at:])
		if m == nil {
			return statements, text[begin:]
		}
		from, to := at+m[0], at+m[1]
		at = to
		switch found := text[from:to]; {
		case found == ";":
			if s := trim(text[begin:from]); s != "" {
				statements = append(statements, s)
			}
			begin = to
		case found[0] == '$': // up to the same again
			end := strings.Index(text[to:], found)
			if end < 0 {
				return statements, text[begin:]
			}
			at = to + end + len(found)
		case len(found) == 1, found == "--", found == "/*": // has begun and not ended
			return statements, text[begin:]
		}
	}
}

var leading = regexp.MustCompile(`^(\s+|--[^\n]*(\n|$)|(?s:/\*.*?\*/))+`)

func trim(s string) string { return strings.TrimSpace(leading.ReplaceAllString(s, "")) }
