-- KEYS: the book. ARGV: a token, its life.
-- The copy, or the token if it was left, or '' where somebody else fills.

local at = now()
local inc = incarnation()

local copy = redis.call('HMGET', KEYS[1], 'inc', 'till', 'v', 's', 'fv', 'fs', 'token_inc', 'token_till')
if copy[1] == inc and tonumber(copy[2]) > at and not below(copy[3], copy[4], copy[5], copy[6]) then
  return redis.call('HMGET', KEYS[1], 'v', 's', 'status', 'etag', 'body', 'at')
end
if copy[7] == inc and tonumber(copy[8]) > at then return '' end

redis.call('HSET', KEYS[1], 'token', ARGV[1], 'token_inc', inc, 'token_till', at + ARGV[2])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return ARGV[1]
