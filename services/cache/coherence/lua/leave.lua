-- KEYS: the registry. ARGV: the session, which answers nothing any more.

return redis.call('HDEL', KEYS[1], 'lease:' .. ARGV[1])
