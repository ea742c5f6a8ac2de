-- KEYS: the registry. ARGV: the message, a lease's life, an inbox's life.
-- The registry's name, how long sessions may live that it does not know, then
-- for each that it knows: its name, how long its lease lasts, and whether that is all.

local at = now()
local inc = incarnation()
if not heard(at) then return deposed end

open(KEYS[1], inc, at)
local told, registry = {name(KEYS[1], inc), 0}, redis.call('HGETALL', KEYS[1])
for i = 1, #registry, 2 do
  local field, value = registry[i], registry[i + 1]
  local session = field:match('^lease:(.*)')
  if field == 'born' then
    told[2] = math.max(0, value + ARGV[2] - at)
  elseif session then
    local till, revoked = ends(value)
    if till <= at then
      redis.call('HDEL', KEYS[1], field)
    else
      if not revoked then
        redis.call('RPUSH', '{near}:inbox:' .. session, ARGV[1])
        redis.call('PEXPIRE', '{near}:inbox:' .. session, ARGV[3])
      end
      told[#told + 1] = session
      told[#told + 1] = till - at
      told[#told + 1] = revoked and 1 or 0
    end
  end
end
return told
