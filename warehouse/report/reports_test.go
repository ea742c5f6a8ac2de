package report_test

import (
	"regexp"
	"strings"
	"testing"
)

//nolint:gosmopolitan // books have titles in all languages
func TestReports(t *testing.T) {
	t.Parallel()
	dir := publish(t, t.TempDir(), run, shop)
	tests := map[string]struct{ args, want string }{
		"a day is one of UTC; those between have a row": {"sales-by-day", `
			day,currency,orders,copies,net,taken_back
			2026-11-01,EUR,1,3,25.00,0.00
			2026-11-01,JPY,0,0,0,0
			2026-11-02,EUR,1,2,15.00,50.00
			2026-11-02,JPY,0,0,0,0
			2026-11-03,EUR,0,0,0.00,0.00
			2026-11-03,JPY,0,0,0,0
			2026-11-04,EUR,0,0,0.00,10.00
			2026-11-04,JPY,1,3,2700,0
			2026-11-05,EUR,1,1,20.00,0.00
			2026-11-05,JPY,0,0,0,0
			2026-11-06,EUR,0,0,0.00,0.00
			2026-11-06,JPY,0,0,0,0
			2026-11-07,EUR,0,0,0.00,0.00
			2026-11-07,JPY,0,0,0,0
			2026-11-08,EUR,0,0,0.00,10.00
			2026-11-08,JPY,0,0,0,0`},
		"or of another zone": {"sales-by-day --zone Europe/Berlin --until 2026-11-03", `
			day,currency,orders,copies,net,taken_back
			2026-11-02,EUR,2,5,40.00,50.00`},
		"the end is not part of the time": {"sales-by-day --since 2026-11-01T23:30:00Z --until 2026-11-02T10:00:00Z", `
			day,currency,orders,copies,net,taken_back
			2026-11-01,EUR,1,3,25.00,0.00`},
		"weeks begin on Monday": {"sales-by-week --since all --until 2026-09-22", `
			week,currency,orders,copies,net,taken_back
			2026-09-14,EUR,2,2,15.00,0.00`},
		"this week's": {"sales-by-week --since 4w", `
			week,currency,orders,copies,net,taken_back
			2026-10-26,EUR,1,3,25.00,0.00
			2026-10-26,JPY,0,0,0,0
			2026-11-02,EUR,2,3,35.00,70.00
			2026-11-02,JPY,1,3,2700,0`},
		"each of several authors": {"sales-by-author", `
			author,currency,books,copies,net,taken_back
			夏目漱石,JPY,1,3,2700,0
			Leo Tolstoy,EUR,2,4,50.00,60.00
			Neil Gaiman,EUR,1,2,10.00,10.00
			Terry Pratchett,EUR,1,2,10.00,10.00`},
		"languages, one of them unknown": {"sales-by-language", `
			language,currency,books,copies,net,share,taken_back
			ja,JPY,1,3,2700,100.0,0
			en,EUR,2,5,40.00,66.7,50.00
			,EUR,1,1,20.00,33.3,20.00`},
		"a deleted book was sold": {"best-sellers", `
			book_id,title,authors,orders,copies,currency,net
			1,War and Peace,Leo Tolstoy,2,3,EUR,30.00
			2,吾輩は猫である,夏目漱石,1,3,JPY,2700
			3,Good Omens,"Terry Pratchett, Neil Gaiman, Neil Gaiman",2,2,EUR,10.00
			5,Deleted,Leo Tolstoy,1,1,EUR,20.00`},
		"one row": {"best-sellers --limit 1 --since all", `
			book_id,title,authors,orders,copies,currency,net
			1,War and Peace,Leo Tolstoy,3,4,EUR,40.00`},
		"stock over 20 days": {"stock-turnover --since 2026-11-03T06:15:00Z", `
			book_id,title,stock,sold,average_stock,turnover,days_left
			2,吾輩は猫である,0,3,0.19,15.61,0.0
			6,Young,5,5,7.50,0.67,10.0
			1,War and Peace,19,1,17.25,0.06,380.0
			3,Good Omens,47,0,46.12,0.00,
			4,Unsold,6,0,6.00,0.00,`},
		"stock as it was": {"stock-turnover --since 2026-11-02T10:30:00Z --until 2026-11-02T11:30:00Z", `
			book_id,title,stock,sold,average_stock,turnover,days_left
			1,War and Peace,13,3,14.50,0.21,0.2
			2,吾輩は猫である,3,0,3.00,0.00,
			3,Good Omens,47,0,47.00,0.00,
			5,Deleted,9,0,9.00,0.00,`},
		"who came back": {"customers-by-cohort", `
			cohort,currency,customers,month,active,retention,net,lifetime_value
			2026-09-01,EUR,2,0,2,100.0,15.00,7.50
			2026-09-01,EUR,2,1,0,0.0,0.00,7.50
			2026-09-01,EUR,2,2,1,50.0,45.00,30.00
			2026-11-01,EUR,1,0,1,100.0,15.00,15.00
			2026-11-01,JPY,1,0,1,100.0,2700,2700`},
		"cohorts that began since": {"customers-by-cohort --since 1m --until 2026-11-03", `
			cohort,currency,customers,month,active,retention,net,lifetime_value
			2026-11-01,EUR,1,0,1,100.0,15.00,15.00`},
		"a month that has not begun has no row": {"customers-by-cohort --until 2026-10-01", `
			cohort,currency,customers,month,active,retention,net,lifetime_value
			2026-09-01,EUR,2,0,2,100.0,15.00,7.50`},
		"lifetime value": {"customers-by-value", `
			customer,currency,orders,first_order,last_order,net,average,taken_back
			bob,JPY,1,2026-11-04,2026-11-04,2700,2700,0
			alice,EUR,3,2026-09-15,2026-11-05,55.00,18.33,50.00
			bob,EUR,1,2026-11-02,2026-11-02,15.00,15.00,0.00
			erin,EUR,1,2026-09-20,2026-09-20,5.00,5.00,0.00
			carol,EUR,0,2026-11-04,2026-11-04,0.00,,10.00
			dave,EUR,0,2026-11-08,2026-11-08,0.00,,10.00`},
		"pairs of orders that were kept": {"basket-pairs", `
			book_a,title_a,book_b,title_b,together,share_of_a,share_of_b,lift
			1,War and Peace,3,Good Omens,2,66.7,66.7,1.33`},
		"checkouts that came to nothing": {"checkouts-not-completed", `
			reason,state,step,checkouts,share,median_seconds
			payment_declined,failed,authorise,2,28.6,3.0
			cancelled,cancelled,approval,1,14.3,60.0
			deadline_exceeded,failed,approval,1,14.3,3600.0
			out_of_stock,failed,request,1,14.3,0.0`},
		"a return and a checkout under way": {"revenue-and-payments", `
			day,currency,orders,recognised,captured,refunded,difference,orders_differing
			2026-11-02,EUR,1,15.00,15.00,0.00,0.00,0
			2026-11-04,EUR,0,0.00,10.00,10.00,0.00,0
			2026-11-05,EUR,1,20.00,20.00,0.00,0.00,0
			2026-11-08,EUR,0,0.00,10.00,0.00,10.00,1
			2026-11-18,EUR,0,0.00,7.00,0.00,7.00,1`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"report", "--format", "csv"}, strings.Fields(test.args)...)
			want := strings.ReplaceAll(strings.TrimSpace(test.want), "\t", "") + "\n"
			if got := output(t, dir, "", args...); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// An empty shop, and one of a time in which nothing was, has answers without rows.
func TestReportsOfNothing(t *testing.T) {
	t.Parallel()
	empty, full := publish(t, t.TempDir(), run, ""), publish(t, t.TempDir(), run, shop)
	for line := range strings.Lines(output(t, empty, "", "report", "list")) {
		name := strings.Fields(line)[0]
		if !strings.Contains(name, "-") {
			continue
		}
		for _, dir := range []string{empty, full} {
			for _, format := range []string{"table", "html", "json", "parquet"} {
				got := output(t, dir, "", "report", name, "--format", format, "--since", "2020-01-01", "--until", "2020-01-02")
				if format == "json" && strings.Join(strings.Fields(got), "") != "[]" {
					t.Errorf("%s: %s", name, got)
				}
			}
		}
	}
}

// Each currency has the decimals that ISO 4217 gives it, in every format that people read; programs get a number.
func TestAmountsHaveTheDecimalsOfTheirCurrency(t *testing.T) {
	t.Parallel()
	dir := publish(t, t.TempDir(), run, shop+`
		insert into orders values (o(50), 'kay', 'placed', 1234, 'KWD', '2026-11-20'), (o(51), 'kay', 'placed', 5, 'BHD', '2026-11-20'),
			(o(52), 'kay', 'placed', 12345, 'CLF', '2026-11-20'), (o(53), 'kay', 'placed', 20000, 'CLF', '2026-11-20'),
			(o(54), 'kay', 'placed', 1000, 'JPY', '2026-11-20'), (o(55), 'kay', 'cancelled', 100, 'MRU', '2026-11-20');`)
	amounts := map[string]string{"KWD": "1.234", "BHD": "0.005", "CLF": "3.2345", "JPY": "1000", "MRU": "0.00"}
	csv := output(t, dir, "", "report", "customers-by-value", "--format", "csv")
	html := output(t, dir, "", "report", "customers-by-value", "--format", "html")
	table := output(t, dir, "", "report", "customers-by-value")
	for currency, amount := range amounts {
		if !regexp.MustCompile(`(?m)^kay,` + currency + `,\d,2026-11-20,2026-11-20,` + regexp.QuoteMeta(amount) + `,`).MatchString(csv) {
			t.Errorf("csv has no %s %s:\n%s", amount, currency, csv)
		}
		if !strings.Contains(html, `<td>`+currency+`</td>`) || !strings.Contains(html, `<td class="n">`+amount+`</td>`) ||
			currency != "MRU" && !strings.Contains(html, `<title>kay: `+amount+`</title>`) {
			t.Errorf("html has no %s %s:\n%s", amount, currency, html)
		}
		if !regexp.MustCompile(`(?m)^kay +` + currency + ` .* ` + regexp.QuoteMeta(amount) + `( |$)`).MatchString(table) {
			t.Errorf("the table has no %s %s:\n%s", amount, currency, table)
		}
	}
	json := output(t, dir, "", "report", "customers-by-value", "--format", "json", "--since", "2026-11-20")
	for _, want := range []string{`"net":3.2345`, `"net":0.005`, `"net":1.234`} {
		if !strings.Contains(json, want) {
			t.Errorf("json has no %s:\n%s", want, json)
		}
	}
}
