package database

import (
	"fmt"
	"slices"
	"strings"
)

// Acknowledging is how many standbys have a commit before it is acknowledged (synchronous_node_count in patroni/patroni.yml).
const Acknowledging = 2

// Leader is the name of the member that leads; nothing if there is none.
func Leader(members []Member) string {
	if at := slices.IndexFunc(members, Member.Leads); at >= 0 {
		return members[at].Name
	}
	return ""
}

// Missing says what these members lack until one of them leads and each other has everything that is acknowledged; nothing if that
// is so.
func Missing(members []Member, names []string) string {
	if !Led(members) {
		return "no member leads"
	}
	var late []string
	for _, name := range names {
		at := slices.IndexFunc(members, func(m Member) bool { return m.Name == name })
		switch {
		case at < 0:
			late = append(late, name+" is not there")
		case !members[at].Leads() && !members[at].mayLead():
			late = append(late, name+" is "+strings.ReplaceAll(members[at].Role, "_", " ")+", "+members[at].State)
		}
	}
	return strings.Join(late, "; ")
}

// Spare is an error where a member may not be taken away now: a commit would have fewer standbys left than acknowledge it.
func Spare(members []Member, name string) error {
	var left []string
	for _, m := range members {
		if m.mayLead() && m.Name != name {
			left = append(left, m.Name)
		}
	}
	if len(left) < Acknowledging {
		return fmt.Errorf("without %s only %d standbys have everything (%s), and %d acknowledge a commit: 'go tool task db:status' shows them", name, len(left), strings.Join(left, ", "), Acknowledging)
	}
	return nil
}

// Heir is a member that may lead now and is one of those that are named; nothing if none is.
func Heir(members []Member, names []string) string {
	for _, m := range members {
		if m.mayLead() && slices.Contains(names, m.Name) {
			return m.Name
		}
	}
	return ""
}
