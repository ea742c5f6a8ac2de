package receivers_test

import (
	"testing"

	"bookstore/services/operator/operatortest"
	"bookstore/services/operator/receivers"
)

// What Alertmanager could not read is refused, and changes nothing.
func TestReceivers(t *testing.T) {
	t.Parallel()
	c := operatortest.Start(t)
	for _, try := range []struct{ name, value, stored string }{
		{"webhook_url", "https://chat.example.com/hooks/1\n", "https://chat.example.com/hooks/1"},
		{"webhook_url", "chat.example.com", "https://chat.example.com/hooks/1"},
		{"webhook_url", "ftp://chat.example.com", "https://chat.example.com/hooks/1"},
		{"smtp_smarthost", "mail.example.com", ""},
		{"smtp_smarthost", "mail.example.com:587", "mail.example.com:587"},
		{"email_to", "operator", ""},
		{"email_to", "The operator <operator@example.com>", "The operator <operator@example.com>"},
		{"smtp_password", "one line\nand another", ""},
		{"smtp_password", " ", ""},
	} {
		item, err := receivers.Find(try.name)
		if err != nil {
			t.Fatal(err)
		}
		changed, err := receivers.Set(t.Context(), c, item, try.value)
		has, readErr := c.Items(t.Context(), receivers.Job)
		if readErr != nil || has[try.name] != try.stored || changed != (err == nil) {
			t.Errorf("%s = %q: %q is stored, changed %t, %v, %v", try.name, try.value, has[try.name], changed, err, readErr)
		}
	}
	item, err := receivers.Find("webhook_url")
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := receivers.Unset(t.Context(), c, item); err != nil || !changed {
		t.Errorf("unset: changed %t, %v", changed, err)
	}
	if has, err := c.Items(t.Context(), receivers.Job); err != nil || has["webhook_url"] != "" || has["email_to"] == "" {
		t.Errorf("after one was taken away: %v, %v", has, err)
	}
	if _, err := receivers.Find("pager"); err == nil {
		t.Error("an item that there is not was found")
	}
}
