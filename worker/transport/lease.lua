-- Leases: which consumers live, by the server's clock, and what they hold.
--
-- KEYS  1 the leases, by when they end, 2 the leases that have ended and may still hold messages, 3 the last number,
--       4 what this lease holds, 5 unacked_index
-- ARGV  1 what to do; 2 the lease (for `take`: the name of its owner); 3 its time in seconds; 4 '1' if the visibility
--       timeout of what it holds starts again: consumers of stock kombu know no lease

local leases, ended, numbers, held, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local act, lease, lease_s = ARGV[1], ARGV[2], tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000

local function seconds(number) return string.format('%.6f', number) end

if act == 'take' then
  local taken = string.format('%.0f', redis.call('INCR', numbers)) .. ' ' .. lease
  redis.call('ZADD', leases, seconds(now + lease_s), taken)
  return taken
end

if act == 'renew' then
  local ends = redis.call('ZSCORE', leases, lease)
  if not ends then return {0} end
  if tonumber(ends) < now then
    -- Nobody has ended it in time, so the server was away, or nobody else is there. Others may have been kept from
    -- renewing as well: all get another period.
    for _, late in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', seconds(now))) do
      redis.call('ZADD', leases, seconds(now + lease_s), late)
    end
  end
  redis.call('ZADD', leases, seconds(now + lease_s), lease)
  if ARGV[4] == '1' then
    local tags = redis.call('SMEMBERS', held)
    for first = 1, #tags, 1000 do
      local scores = {}
      for i = first, math.min(first + 999, #tags) do
        scores[#scores + 1] = seconds(now); scores[#scores + 1] = tags[i]
      end
      redis.call('ZADD', index, 'XX', unpack(scores))  -- XX: what a stock consumer has taken over stays gone
    end
  end
  for _, late in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', seconds(now), 'LIMIT', 0, 100)) do
    redis.call('ZADD', ended, seconds(now), late)
    redis.call('ZREM', leases, late)
  end
  return {1, unpack(redis.call('ZRANGE', ended, 0, 99))}
end

-- `release` and `settle`: a lease that holds nothing any more is forgotten. Otherwise its messages are taken back first.
if act == 'release' or act == 'settle' then
  if redis.call('EXISTS', held) > 0 then return 0 end
  redis.call('ZREM', act == 'release' and leases or ended, lease)
  return 1
end

return redis.error_reply('ERR lease: nothing to do')
