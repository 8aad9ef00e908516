-- Leases: which consumers live, by the server's clock. The records of messages say by which lease they are held.
--
-- A lease is a member of the leases, and a key of its own that the fetch script reads. The key goes first: who has no key
-- records nothing any more, so what an ended lease holds only becomes less.
--
-- KEYS  1 the leases, by when they end, 2 the leases that have ended and may still hold messages, 3 the last number,
--       4 unacked_index, 5 unacked, 6... for `renew`: what was recorded by fetches of this process whose replies may not have come
-- ARGV  1 what to do; 2 the lease (for `take`: the name of its owner); 3 its time in seconds; 4 what the leases' own keys
--       begin with; then for `renew`: 5 the visibility timeout in milliseconds if it starts again for what the lease holds,
--       since consumers of stock kombu know no lease, otherwise 0; then the delivery tags that it holds. For `release`:
--       5 its mark

local leases, ended, numbers, index, unacked = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local act, lease, lease_s, prefix = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local clock = redis.call('TIME')
local instant = tonumber(clock[1]) + tonumber(clock[2]) / 1000000

local function seconds(number) return string.format('%.6f', number) end
local now, ends_next = seconds(instant), seconds(instant + lease_s)

local function key_of(name) return prefix .. string.match(name, '^%d*') end

local function is_good(name) return redis.call('GET', key_of(name)) == name end

local function finish(name)
  if is_good(name) then redis.call('DEL', key_of(name)) end
  redis.call('ZADD', ended, now, name)
  redis.call('ZREM', leases, name)
end

local function held_tags()
  local tags = {}
  for i = 6, #ARGV do tags[#tags + 1] = ARGV[i] end
  for i = 6, #KEYS do
    local written = redis.call('GET', KEYS[i]) or ''
    local ok, recorded = pcall(cjson.decode, string.match(written, '^%d+ (%[.*%])') or '[]')
    for _, tag in ipairs(ok and recorded or {}) do tags[#tags + 1] = tag end
    redis.call('PEXPIRE', KEYS[i], ARGV[5])
  end
  return tags
end

local function restart(tags)
  for first = 1, #tags, 1000 do
    local scores = {}
    for i = first, math.min(first + 999, #tags) do
      scores[#scores + 1] = now; scores[#scores + 1] = tags[i]
    end
    redis.call('ZADD', index, 'XX', unpack(scores))  -- XX: what a stock consumer has taken over stays gone
  end
end

local function holds_any(ending)
  local tags = redis.call('ZRANGE', index, 0, -1)
  for first = 1, #tags, 16 do
    for _, record in ipairs(redis.call('HMGET', unacked, unpack(tags, first, math.min(first + 15, #tags)))) do
      if record and string.sub(record, -#ending) == ending then return true end
    end
  end
  return false
end

if act == 'take' then
  local taken = string.format('%.0f', redis.call('INCR', numbers)) .. ' ' .. lease
  redis.call('ZADD', leases, ends_next, taken)
  redis.call('SET', key_of(taken), taken)
  return taken
end

if act == 'renew' then
  local ends = redis.call('ZSCORE', leases, lease)
  if not is_good(lease) then
    if ends then finish(lease) end           -- somebody has deleted its key
    return {0}
  end
  if ends and tonumber(ends) < instant then
    -- Nobody has ended it in time, so the server was away, or nobody else is there. Others may have been kept from
    -- renewing as well: all get another period.
    for _, late in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now)) do
      redis.call('ZADD', leases, ends_next, late)
    end
  end
  redis.call('ZADD', leases, ends_next, lease)
  if ARGV[5] ~= '0' then restart(held_tags()) end
  for _, late in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 100)) do finish(late) end
  return {1, unpack(redis.call('ZRANGE', ended, 0, 99))}
end

if act == 'release' then
  -- Its owner knows of nothing that it holds. Where there are too many records to look through, others do that later.
  local size, is_held = redis.call('ZCARD', index), false
  if size <= 1000 then is_held = holds_any(']' .. ARGV[5]) end
  if is_held then return 0 end
  finish(lease)
  if size <= 1000 then redis.call('ZREM', ended, lease) end
  return 1
end

return redis.error_reply('ERR lease: nothing to do')
