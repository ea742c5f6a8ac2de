-- KEYS: the registry. ARGV: the name of the one that named the sessions, and
-- they: another one does not know who is live. How long each lease still lasts,
-- which is not renewed any more.

local at = now()
local inc = incarnation()
if not heard(at) then return deposed end
if not known(KEYS[1], inc) or ARGV[1] ~= name(KEYS[1], inc) then
  return redis.error_reply('LOST the registry is not the one that was asked before')
end

local left = {}
for i = 2, #ARGV do
  local lease, till = redis.call('HGET', KEYS[1], 'lease:' .. ARGV[i]), 0
  if lease then till = ends(lease) end
  left[i - 1] = math.max(0, till - at)
  if left[i - 1] > 0 then
    redis.call('HSET', KEYS[1], 'lease:' .. ARGV[i], string.format('%.0f!', till))
  end
end
return left
