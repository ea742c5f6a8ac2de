-- Takes permits from a client's bucket, as far as there are any.
-- KEYS[1]  the bucket: its level at a time of this server's clock
-- ARGV     permits a second, permits at most, permits wanted,
--          permits used without a lease (below 0: permits returned)
-- Returns  permits given, thousandths of a permit left
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local wanted, spent = tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level, at = tonumber(kept[1]) or burst, tonumber(kept[2]) or now

level = math.min(burst, level + math.max(0, now - at) * rate) - spent
-- A client pays back what a second brings, not more.
level = math.max(-rate, math.min(burst, level))
local given = math.max(0, math.min(wanted, math.floor(level)))
level = level - given

redis.call('HSET', KEYS[1], 'level', level, 'at', now)
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - level) / rate * 1000) + 1000)
return {given, math.floor(level * 1000)}
