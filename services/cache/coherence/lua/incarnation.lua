-- What all scripts begin with. Times are in ms of this node's clock.

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- incarnation names the life of this shard's data: it changes with each
-- promotion of a replica and each start of the master, whenever something that
-- was acknowledged may be lost.
local function incarnation()
  return redis.call('INFO', 'replication'):match('master_replid:(%x+)')
end

-- heard: did more than half of the masters answer this node lately? One that
-- did not hear from them may have been replaced without knowing it, and what it
-- takes would be lost. Each is asked at least every half of
-- cluster-node-timeout, and none is replaced before the whole of it. (That a
-- replica follows proves nothing: a node that was frozen still sees it.)
local function heard(at)
  local masters, lately = 0, 0
  for line in redis.call('CLUSTER', 'NODES'):gmatch('[^\n]+') do
    local flags, pong = line:match('^%S+ %S+ (%S+) %S+ %S+ (%S+) %S+ %S+ %S')
    if flags and flags:find('master') then
      masters = masters + 1
      if flags:find('myself') or at - pong < 2000 then
        lately = lately + 1
      end
    end
  end
  return 2 * lately > masters
end

local deposed = redis.error_reply('DEPOSED this node has not heard from the cluster lately')
