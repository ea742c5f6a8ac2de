//go:build drill

package drills

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what all runs cost.
type report struct{ runs []outcome }

func (r *report) add(o outcome) { r.runs = append(r.runs, o) }

// print writes one line a drill, median and worst, and then the figures.
func (r *report) print() {
	if len(r.runs) == 0 {
		return
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nseconds without, median / worst\nDRILL\tRUNS\tROWS\tORDERS\tREPLICA READS\tLISTS\tCACHED READS\tWHOLE AFTER\tLOST\tHALF")
	lost, half := 0, 0
	var figures []string
	for _, d := range scenarios {
		var runs []outcome
		for _, o := range r.runs {
			if o.scenario == d.name {
				runs = append(runs, o)
			}
		}
		if len(runs) == 0 {
			continue
		}
		fmt.Fprintf(table, "%s\t%d", d.name, len(runs))
		for _, of := range []func(outcome) time.Duration{
			func(o outcome) time.Duration { return o.rows },
			func(o outcome) time.Duration { return o.orders },
			func(o outcome) time.Duration { return o.replicaReads },
			func(o outcome) time.Duration { return o.lists },
			func(o outcome) time.Duration { return o.books },
			func(o outcome) time.Duration { return o.whole },
		} {
			all := sorted(runs, of)
			fmt.Fprintf(table, "\t%.2f / %.2f", all[(len(all)-1)/2].Seconds(), all[len(all)-1].Seconds())
		}
		lostHere, halfHere := 0, 0
		for _, o := range runs {
			lostHere, halfHere = lostHere+o.lost, halfHere+o.half
		}
		fmt.Fprintf(table, "\t%d\t%d\n", lostHere, halfHere)
		lost, half = lost+lostHere, half+halfHere
		worst := slices.Max(sorted(runs, func(o outcome) time.Duration { return max(o.rows, o.orders) }))
		figures = append(figures, fmt.Sprintf("figure rto_%s_s %.2f", strings.ReplaceAll(d.name, "-", "_"), worst.Seconds()))
	}
	_ = table.Flush() // a table that cannot be printed is missed by who reads it
	for _, line := range figures {
		fmt.Println(line)
	}
	fmt.Printf("figure lost_rows %d\nfigure half_transactions %d\n", lost, half)
}

func sorted(runs []outcome, of func(outcome) time.Duration) (all []time.Duration) {
	for _, o := range runs {
		all = append(all, of(o))
	}
	slices.Sort(all)
	return all
}
