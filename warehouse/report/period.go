package report

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"bookstore/warehouse/catalogue"
	"bookstore/warehouse/money"
	"bookstore/warehouse/reports"
)

// prepare runs the prelude and sets the time asked for, which it returns in words.
func (v *version) prepare(ctx context.Context, o options) (string, error) {
	cut := "timestamptz " + catalogue.Literal(v.at.Format(time.RFC3339Nano))
	until := cut
	if o.until != "" {
		until = instant(o.until, cut)
	}
	prelude, err := reports.Files.ReadFile("prelude.sql")
	if err != nil {
		return "", err
	}
	// Versions of before have no such macro of their own.
	decimals := "create or replace temp macro decimals(currency) as " + money.Decimals() + ";\n"
	if _, err := v.conn.ExecContext(ctx, decimals+string(prelude)); err != nil {
		return "", fmt.Errorf("prelude.sql: %w", err)
	}
	for _, s := range []string{"set variable until = " + until, "set variable since = " + instant(o.since, "getvariable('until')")} {
		if _, err := v.conn.ExecContext(ctx, s); err != nil {
			return "", fmt.Errorf("the time asked for (%s to %s): %w", o.since, o.until, err)
		}
	}
	var period string
	err = v.conn.QueryRowContext(ctx, `select strftime(getvariable('since'), '%Y-%m-%d %H:%M') || ' to ' || strftime(getvariable('until'), '%Y-%m-%d %H:%M')`).Scan(&period)
	if o.since == "all" {
		_, period, _ = strings.Cut(period, " to ")
		period = "all to " + period
	}
	return fmt.Sprintf("%s (%s), in run %s", period, v.zone, v.run), err
}

var ago = regexp.MustCompile(`^([0-9]{1,5})([hdwmy])$`)

// instant is a time of a flag as SQL. How long ago it was is counted from end; but for hours, from the
// beginning of that day.
func instant(text, end string) string {
	units := map[string]string{"h": "hours", "d": "days", "w": "weeks", "m": "months", "y": "years"}
	m := ago.FindStringSubmatch(text)
	switch {
	case text == "all":
		return "timestamptz 'epoch'"
	case m == nil:
		return "cast(" + catalogue.Literal(text) + " as timestamptz)"
	case m[2] == "h":
		return fmt.Sprintf("%s - interval '%s hours'", end, m[1])
	}
	return fmt.Sprintf("date_trunc('day', %s - interval '%s %s')", end, m[1], units[m[2]])
}
