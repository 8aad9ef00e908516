-- Put unacknowledged messages back on their lists, those that their owner still holds.
--
-- KEYS  1 unacked_index, 2 unacked, 3 what the owner's lease holds, 4... the lists of the first message, of the second, ...
-- ARGV  1 the command: RPUSH to be taken next, LPUSH to be taken last, 2 '1' if the owner has a lease; then for each
--       message its delivery tag, its content, and its number of lists

local index, unacked, held = KEYS[1], KEYS[2], KEYS[3]
local push, has_lease = ARGV[1], ARGV[2] == '1'
local key, moved = 4, 0
for i = 3, #ARGV, 3 do
  local tag, content, lists = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  if not has_lease or redis.call('SISMEMBER', held, tag) == 1 then
    -- A consumer of stock kombu may have taken it over meanwhile: then it is not in the index any more.
    if redis.call('ZSCORE', index, tag) then
      for list = key, key + lists - 1 do redis.call(push, KEYS[list], content) end
      redis.call('ZREM', index, tag)
      redis.call('HDEL', unacked, tag)
      moved = moved + 1
    end
    redis.call('SREM', held, tag)
  end
  key = key + lists
end
return moved
