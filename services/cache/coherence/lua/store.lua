-- KEYS: the book. ARGV: the token, how long the copy is fresh, the key's life,
-- and the copy: versions, status, ETag, body, when it was filled.

local at = now()
local inc = incarnation()
local book = redis.call('HMGET', KEYS[1], 'token', 'token_inc', 'fv', 'fs')
if book[1] ~= ARGV[1] or book[2] ~= inc then return 'late' end

redis.call('HDEL', KEYS[1], 'token', 'token_inc', 'token_till')
if below(ARGV[4], ARGV[5], book[3], book[4]) then return 'below' end

redis.call('HSET', KEYS[1], 'inc', inc, 'till', at + ARGV[2], 'v', ARGV[4], 's', ARGV[5],
  'status', ARGV[6], 'etag', ARGV[7], 'body', ARGV[8], 'at', ARGV[9])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 'stored'
