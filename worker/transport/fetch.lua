-- One turn of a consumer: acknowledge, fetch, record, trim, and arrange to be woken.
--
-- A script that fails half-way does not roll back, so every message is recorded before its list is trimmed: what is cut
-- off in between is delivered twice, never lost. Messages are never encoded anew: `unacked` holds the bytes that came.
--
-- KEYS  1 unacked_index, 2 unacked, 3 the last fetch of this connection, 4 the idle consumers of these queues,
--       5... the lists, level after level
-- ARGV  the numbers and names below; then the acknowledged tags; then for each queue the list for its malformed
--       messages and whether it is recorded ('1') or not; then for each level its first queue and how many it has

local HEAD = 17
local index, unacked, record, idle = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now, token = ARGV[1], ARGV[2]
local credit = tonumber(ARGV[3])
local max_bytes = tonumber(ARGV[4])          -- of whole messages: it bounds what one reply weighs
local room_bytes = tonumber(ARGV[5])         -- of decoded bodies: what the consumer counts of what it holds
local fair = ARGV[6] == '1'
local wake = ARGV[7]                         -- 'no', 'all' (every idle consumer) or 'one' (the one that waits longest)
local record_ms = ARGV[8]
local dead_length, dead_s = tonumber(ARGV[9]), ARGV[10]
local me, bell_prefix, stale_s = ARGV[11], ARGV[12], tonumber(ARGV[13])
local rechecks = ARGV[14] == '1'              -- nobody woke it: it looks by itself
local acks, queues, levels = tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17])

local QUEUES = HEAD + acks                   -- ARGV[QUEUES + 2 * q - 1] and the next belong to queue q
local LEVELS = QUEUES + 2 * queues

local function arguments_fit()
  if #ARGV ~= LEVELS + 2 * levels then return false end
  local lists = 0
  for l = 1, levels do
    local first, count = tonumber(ARGV[LEVELS + 2 * l - 1]), tonumber(ARGV[LEVELS + 2 * l])
    if first < 1 or count < 1 or first + count - 1 > queues then return false end
    lists = lists + count
  end
  return #KEYS == 4 + lists
end

if not arguments_fit() then return redis.error_reply('ERR fetch: wrong number of keys or arguments') end
-- The owner gave this connection up and took back what it had recorded; a call that comes late must take nothing.
if string.sub(redis.call('GET', record) or '', -5) == ' void' then return {-1, 0} end

for first = HEAD + 1, HEAD + acks, 1000 do
  local last = math.min(first + 999, HEAD + acks)
  redis.call('ZREM', index, unpack(ARGV, first, last))
  redis.call('HDEL', unacked, unpack(ARGV, first, last))
end
if queues == 0 then return {-1, 0} end       -- acknowledgements alone: nothing was looked at

local found, dead, recorded = {}, {}, {}
local bytes, body_bytes, step, full = 0, 0, 8, false

local function delivery(raw)
  local ok, message = pcall(cjson.decode, raw)
  if not ok then                             -- half of a surrogate pair: Python reads it, cjson does not
    ok, message = pcall(cjson.decode, (string.gsub(raw, '\\u[dD][89a-fA-F]%x%x', '\\ufffd')))
  end
  local properties = ok and type(message) == 'table' and message.properties
  if type(properties) ~= 'table' or type(properties.delivery_info) ~= 'table' then return end
  local tag, info = properties.delivery_tag, properties.delivery_info
  if type(tag) ~= 'string' or tag == '' then return end
  if type(info.exchange) ~= 'string' or type(info.routing_key) ~= 'string' then return end
  local body = type(message.body) == 'string' and #message.body or 0
  if properties.body_encoding == 'base64' then body = math.floor(body * 3 / 4) end
  return tag, info, body
end

local function more(limit, used, seen)       -- how many further messages of the size so far
  return math.floor((limit - used) * seen / (used + 1))
end

local function take(list, q, wanted)         -- how many messages it took from the end of the list
  local raws = redis.call('LRANGE', list, -math.min(wanted, step), -1)
  local scores, entries, seen = {}, {}, 0
  for i = #raws, 1, -1 do
    local raw = raws[i]
    if bytes > 0 and bytes + #raw > max_bytes then full = true; break end
    bytes, seen = bytes + #raw, seen + 1
    local tag, info, body = delivery(raw)
    if not tag then
      redis.call('LPUSH', ARGV[QUEUES + 2 * q - 1], raw)
      redis.call('LTRIM', ARGV[QUEUES + 2 * q - 1], 0, dead_length - 1)
      redis.call('EXPIRE', ARGV[QUEUES + 2 * q - 1], dead_s)
      dead[#dead + 1] = q; dead[#dead + 1] = #raw
    else
      body_bytes = body_bytes + body
      if ARGV[QUEUES + 2 * q] == '1' then
        scores[#scores + 1] = now; scores[#scores + 1] = tag
        entries[#entries + 1] = tag
        entries[#entries + 1] = '[' .. raw .. ', ' .. cjson.encode(info.exchange) .. ', '
          .. cjson.encode(info.routing_key) .. ']'
        recorded[#recorded + 1] = tag
      end
      found[#found + 1] = q; found[#found + 1] = tag; found[#found + 1] = raw
      -- The one that fills the room is still taken: else what is left would be fetched with a call for each message.
      if body_bytes >= room_bytes then full = true; break end
    end
  end
  if #scores > 0 then
    redis.call('ZADD', index, unpack(scores))
    redis.call('HSET', unacked, unpack(entries))
  end
  if seen > 0 then
    redis.call('LTRIM', list, 0, -seen - 1)
    credit = credit - seen                   -- malformed ones count: they bound the time that this takes
    step = math.max(1, math.min(64, more(max_bytes, bytes, seen), more(room_bytes, body_bytes, seen) + 1))
  end
  return seen
end

local function drain(first_key, first_queue, count)
  -- Most levels are empty: one read says so, however many lists they have.
  while redis.call('EXISTS', unpack(KEYS, first_key, first_key + count - 1)) > 0 do
    local share = fair and math.ceil(credit / count) or credit
    for i = 0, count - 1 do
      repeat
        if credit <= 0 or full then return end
        local seen = take(KEYS[first_key + i], first_queue + i, math.min(share, credit))
      until fair or seen == 0
    end
  end
end

local key = 5
for l = 1, levels do
  local count = tonumber(ARGV[LEVELS + 2 * l])
  if credit > 0 and not full then drain(key, tonumber(ARGV[LEVELS + 2 * l - 1]), count) end
  key = key + count
end
if #recorded > 0 then redis.call('SET', record, token .. ' ' .. cjson.encode(recorded), 'PX', record_ms) end

-- Every list was looked at last when it was empty: with CLIENT TRACKING that read makes the next write to it push a message
-- to this connection. So that one message does not start every idle consumer, only the one that waits longest heeds it,
-- and whoever leaves that place rings for the next. The place of one that died is taken when another one, looking by
-- itself after a few seconds, finds messages.
local idles = credit > 0 and not full
local place = idles and 0 or -1              -- 0: heeds the lists, more: waits for its bell, -1: fetches again
if wake == 'one' then
  local clock = redis.call('TIME')
  local instant = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
  -- ZPOPMIN and not ZRANGE: a read would be tracked as well, and each change of the key would wake this consumer.
  local listener, since = unpack(redis.call('ZPOPMIN', idle))
  local keeps = listener == me and idles and #found == 0 and not rechecks
  if keeps or (listener and listener ~= me and not (rechecks and #found > 0)) then
    redis.call('ZADD', idle, since, listener)
  end
  if idles and not keeps then
    redis.call('ZADD', idle, string.format('%.6f', instant), me)
  elseif not idles then
    redis.call('ZREM', idle, me)
  end
  redis.call('ZREMRANGEBYSCORE', idle, '-inf', string.format('%.6f', instant - stale_s))
  local first, first_since, second, second_since = unpack(redis.call('ZPOPMIN', idle, 2))
  if first then
    redis.call('ZADD', idle, first_since, first)
    if second then redis.call('ZADD', idle, second_since, second) end
    redis.call('EXPIRE', idle, math.ceil(stale_s))
  end
  if first and first ~= me and first ~= listener then
    redis.call('SET', bell_prefix .. first, '')
    redis.call('DEL', bell_prefix .. first)
  end
  if idles then place = first == me and 0 or second == me and 1 or 2 end
  if place > 0 then redis.call('GET', bell_prefix .. me) end
end

local reply = {place, #dead / 2}
for i = 1, #dead do reply[#reply + 1] = dead[i] end
for i = 1, #found do reply[#reply + 1] = found[i] end
return reply
