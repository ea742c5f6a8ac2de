package backups

import (
	"testing"

	"bookstore/services/operator/operatortest"
	"bookstore/services/operator/provide"
)

// Each key is for a folder of its own, and all jobs that need it have the same one.
func TestRenew(t *testing.T) {
	t.Parallel()
	c := operatortest.Start(t)
	if _, err := renew(t.Context(), c); err == nil {
		t.Error("without a key there is none to replace")
	}
	if _, err := provide.Secrets(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, want := range []string{"repo-2", "repo-3"} {
		folder, err := renew(t.Context(), c)
		if err != nil || folder != want {
			t.Errorf("the folder is %s, %v, want %s", folder, err, want)
		}
		for _, job := range []string{"patroni", "backup", "restore"} {
			items, err := c.Items(t.Context(), job)
			if err != nil || "repo-"+items["backup_repository"] != want {
				t.Errorf("%s has the folder of %s, %v", job, items["backup_repository"], err)
			}
			keys[items["backup_key"]] = true
		}
	}
	if len(keys) != 2 {
		t.Errorf("two rotations made %d keys", len(keys))
	}
}
