-- KEYS: the book. ARGV: the floor's versions, the key's life.
-- Who is filling began too early: the next reader may fill instead.

if not heard(now()) then return deposed end

local floor = redis.call('HMGET', KEYS[1], 'fv', 'fs')
if below(floor[1] or 0, floor[2] or 0, ARGV[1], ARGV[2]) then
  for i, field in ipairs({'fv', 'fs'}) do
    if tonumber(floor[i] or 0) < tonumber(ARGV[i]) then
      redis.call('HSET', KEYS[1], field, ARGV[i])
    end
  end
  redis.call('HDEL', KEYS[1], 'token', 'token_inc', 'token_till')
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
