-- Put unacknowledged messages back on their lists, those that their owner still holds.
--
-- KEYS  1 unacked_index, 2 unacked, 3... the lists of the first message, of the second, ...
-- ARGV  1 the command: RPUSH to be taken next, LPUSH to be taken last, 2 the mark of the owner's lease, empty if it has none;
--       then for each message its delivery tag, its content, and its number of lists

local index, unacked = KEYS[1], KEYS[2]
local push, mark = ARGV[1], ARGV[2]
local key, moved = 3, 0
for i = 3, #ARGV, 3 do
  local tag, content, lists = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  -- Meanwhile it may be acknowledged, put back, or fetched again by another lease or by a consumer of stock kombu.
  local record = redis.call('HGET', unacked, tag)
  if record and string.sub(record, -#mark - 1) == ']' .. mark then
    for list = key, key + lists - 1 do redis.call(push, KEYS[list], content) end
    redis.call('ZREM', index, tag)
    redis.call('HDEL', unacked, tag)
    moved = moved + 1
  end
  key = key + lists
end
return moved
