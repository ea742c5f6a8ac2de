-- KEYS: the registry. ARGV: sessions. How long each lease still lasts, which
-- is not renewed any more.

local at = now()
local inc = incarnation()
if not heard(at) then return deposed end
if not known(KEYS[1], inc) then
  return redis.error_reply('LOST the registry is not the one that was asked before')
end

local left = {}
for i, session in ipairs(ARGV) do
  local lease, till = redis.call('HGET', KEYS[1], 'lease:' .. session), 0
  if lease then till = ends(lease) end
  left[i] = math.max(0, till - at)
  if left[i] > 0 then
    redis.call('HSET', KEYS[1], 'lease:' .. session, string.format('%.0f!', till))
  end
end
return left
