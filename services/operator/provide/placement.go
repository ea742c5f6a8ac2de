package provide

import (
	"slices"

	"bookstore/services/operator/cluster"
)

// volume is one that is wanted: its name, the node, and whose it is.
type volume struct {
	name, node string
	user       int
}

// missing are the volumes that are not there yet, each with the node that it is to be on. What is there stays where it is.
func missing(hosts []cluster.Host, there []volume, redis int) (wanted []volume) {
	each := func(name string, user int) {
		for _, host := range hosts {
			if !slices.ContainsFunc(there, func(v volume) bool { return v.name == name && v.node == host.ID }) {
				wanted = append(wanted, volume{name, host.ID, user})
			}
		}
	}
	one := func(name string, user int) {
		if nodeOf(there, name) == "" {
			wanted = append(wanted, volume{name, hosts[0].ID, user})
		}
	}
	instances := func(job string, user, count int, home func(i int) int) {
		counts := map[string]int{}
		for i := range count {
			counts[nodeOf(there, PerInstance(job, i))]++
		}
		for i := range count {
			if nodeOf(there, PerInstance(job, i)) != "" {
				continue
			}
			at := emptiest(hosts, counts, home(i)%len(hosts))
			counts[at]++
			wanted = append(wanted, volume{PerInstance(job, i), at, user})
		}
	}
	instances("patroni", patroniUser, Members, func(i int) int { return i })
	each("backup", patroniUser)
	each("warehouse", warehouseUser)
	one("s3", s3User)
	instances("redis", redisUser, redis, func(i int) int { return redisHome(i, redis, len(hosts)) })
	return wanted
}

// nodeOf is the node of the volume of that name, or nothing.
func nodeOf(there []volume, name string) string {
	for _, v := range there {
		if v.name == name {
			return v.node
		}
	}
	return ""
}

// emptiest is the host that has the fewest of a job's volumes: the one at home, if no other has fewer.
func emptiest(hosts []cluster.Host, counts map[string]int, home int) string {
	best := hosts[home].ID
	for i := range hosts {
		if host := hosts[(home+i)%len(hosts)].ID; counts[host] < counts[best] {
			best = host
		}
	}
	return best
}

// redisHome is the place of node i among hosts: node i of the first half is a master, and node count/2+i begins as its
// replica (jobs/redis/care), so the second half is moved by one host where both would meet.
func redisHome(i, count, hosts int) int {
	masters := count / 2
	if i >= masters && masters%hosts == 0 {
		i++
	}
	return i % hosts
}
