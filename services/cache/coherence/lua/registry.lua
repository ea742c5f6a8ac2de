-- The registry of near tiers is one hash: what is lost is lost together.
--   inc, born        the incarnation that it belongs to, and since when it is there
--   lease:<session>  when the session's lease ends; with a ! once it may not be renewed

local function known(key, inc)
  return redis.call('HGET', key, 'inc') == inc
end

-- name tells this registry from the one before it and the one after.
local function name(key, inc)
  return inc .. ':' .. (redis.call('HGET', key, 'born') or '')
end

-- open makes a registry that knows nobody where there is none of this incarnation.
local function open(key, inc, at)
  if not known(key, inc) then
    redis.call('DEL', key)
    redis.call('HSET', key, 'inc', inc, 'born', at)
  end
end

local function ends(lease)
  return tonumber(lease:match('^%d+')), lease:find('!') ~= nil
end
