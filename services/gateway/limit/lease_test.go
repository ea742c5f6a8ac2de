package limit

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"bookstore/services/platform/redis"
	"bookstore/services/platform/redis/redistest"
)

// open connects to the cluster at an address.
func open(t testing.TB, address string) *redis.Client {
	t.Helper()
	dir := t.TempDir()
	c := redis.Config{MembersFile: filepath.Join(dir, "members"), CredentialsFile: filepath.Join(dir, "credentials")}
	for path, content := range map[string]string{c.MembersFile: address, c.CredentialsFile: redistest.Credentials} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	client, err := redis.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestTheScript(t *testing.T) {
	t.Parallel()
	client := open(t, redistest.Cluster(t))
	b := newRedisBucket(client)
	slow := Limits{Rate: .001, Burst: 10} // nothing comes back within the test
	for _, step := range []struct {
		what          string
		wanted, spent int
		permits       int
		level         float64
	}{
		{"a new bucket is full", 4, 0, 4, 6},
		{"what was used is charged", 1, 3, 1, 2},
		{"what is not used comes back", 0, -2, 0, 4},
		{"a permit is whole", 9, 0, 4, 0},
		{"nothing is left", 1, 0, 0, 0},
		{"a bucket does not flow over", 0, -50, 0, 10},
		{"nobody pays back more than a second's permits", 1, 500, 0, -.001},
	} {
		g, err := b.take(t.Context(), leaseRequest{key: "limit:{a}", limits: slow, wanted: step.wanted, spent: step.spent})
		if err != nil || g.permits != step.permits || g.level < step.level-.002 || g.level > step.level+.01 {
			t.Errorf("%s: %+v, %v, want %d and %v", step.what, g, err, step.permits, step.level)
		}
	}
	left, err := client.Cluster().PTTL(t.Context(), "limit:{a}").Result()
	if err != nil || left < 9000*time.Second || left > 11000*time.Second {
		t.Errorf("the bucket, full after 10,000 s, expires in %v, %v", left, err)
	}
	quick := Limits{Rate: 1000, Burst: 100}
	for _, key := range []string{"limit:{b}", "limit:{c}"} {
		if g, err := b.take(t.Context(), leaseRequest{key: key, limits: quick, wanted: 100}); err != nil || g.permits != 100 {
			t.Errorf("%s: %+v, %v", key, g, err)
		}
	}
	after(50 * time.Millisecond)
	if g, err := b.take(t.Context(), leaseRequest{key: "limit:{b}", limits: quick, wanted: 10}); err != nil || g.permits != 10 {
		t.Errorf("50 ms later: %+v, %v", g, err)
	}
}

// The same as in simulated time, on a real Redis.
func TestGatewaysShareTheRateThroughRedis(t *testing.T) {
	t.Parallel()
	limits := Limits{Rate: 400, Burst: 400}
	client := open(t, redistest.Cluster(t))
	to := gateways(t, 3, newRedisBucket(client))
	offer(t, to, limits, 2*limits.Rate, 1500*time.Millisecond)
	begin := time.Now()
	got := offer(t, to, limits, 2*limits.Rate, 5*time.Second)
	requireAbout(t, "admitted", got, time.Since(begin).Seconds()*limits.Rate, .1)
}

func TestNoRedisAtTheAddress(t *testing.T) {
	t.Parallel()
	l := New(Options{Redis: open(t, "127.0.0.1:1")})
	part := l.Part()
	if err := part.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := admitAll(t, l, "token:a", Limits{Rate: .01, Burst: 40, InFlight: 1}, 100); got != 40 {
		t.Errorf("%d of 100 were admitted, want the burst of 40", got)
	}
	if err := part.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
