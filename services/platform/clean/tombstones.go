package clean

import "time"

// Tombstones deletes from warehouse_gone (platform/pg/track.sql) what an export cannot ask for any more. An increment reads the
// tombstones since the version before, and everything is read anew at least every 7 days (warehouse/cmd/warehouse holds
// FULL_EVERY to that): what is older than 8 days has been in a full run. Ids grow with time, so the first rows by id are
// the oldest, and no index by age has to be kept.
func Tombstones() Job {
	return Job{
		Name: "warehouse_gone",
		Keep: 8 * 24 * time.Hour,
		Delete: `
delete from warehouse_gone where ctid = any (array(
	select ctid from warehouse_gone
	where id <= (select max(id) from (select id from warehouse_gone order by id limit $2) first) and gone_at < now() - $1::interval
	order by id limit $2 for update skip locked))`,
		Oldest: `select gone_at from warehouse_gone order by id limit 1`,
	}
}
