-- KEYS: the registry. ARGV: the session, a lease's life.
-- 0 where the session has ended.

local at = now()
local inc = incarnation()
if not heard(at) then return deposed end

local lease = redis.call('HGET', KEYS[1], 'lease:' .. ARGV[1])
if not lease or not known(KEYS[1], inc) then return 0 end
local till, revoked = ends(lease)
if revoked or till <= at then return 0 end

redis.call('HSET', KEYS[1], 'lease:' .. ARGV[1], at + ARGV[2])
return 1
