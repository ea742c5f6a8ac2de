-- KEYS: where the announcer waits. ARGV: the session, the list's life.

redis.call('RPUSH', KEYS[1], ARGV[1])
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
