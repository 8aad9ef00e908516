-- Hold a message by a lease that the fetch script has not recorded, or stop holding it and leave its record.
--
-- KEYS  1 the lease's own key, 2 unacked
-- ARGV  1 the lease, 2 its mark, 3 '1' to hold, '0' to stop holding, 4 the delivery tag

local key, unacked = KEYS[1], KEYS[2]
local lease, mark, holds, tag = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4]
local record = redis.call('HGET', unacked, tag)
if not record then return 0 end
local is_held = string.sub(record, -17) == ']' .. mark
if holds and not is_held and string.sub(record, -1) == ']' and redis.call('GET', key) == lease then
  redis.call('HSET', unacked, tag, record .. mark)
  return 1
end
if is_held and not holds then
  redis.call('HSET', unacked, tag, string.sub(record, 1, -17))
  return 1
end
return 0
