-- KEYS: the registry. ARGV: the session, a lease's life, the session before
-- it, which has ended.

local at = now()
local inc = incarnation()
if not heard(at) then return deposed end

open(KEYS[1], inc, at)
redis.call('HDEL', KEYS[1], 'lease:' .. ARGV[3])
redis.call('HSET', KEYS[1], 'lease:' .. ARGV[1], at + ARGV[2])
return 1
