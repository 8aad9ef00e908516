-- One call of a consumer: acknowledge, fetch, record, trim, and arrange to be woken.
--
-- What is fetched is held by the consumer's lease. A consumer whose lease has ended can do nothing: others take back what
-- it held. Times are the server's.
--
-- A script that fails half-way does not roll back, so every message is recorded before its list is trimmed: a failure
-- in between delivers it twice and never loses it. Messages are not encoded again: `unacked` holds the bytes that came.
--
-- KEYS  1 unacked_index, 2 unacked, 3 the record of this consumer's last fetch, 4 the idle consumers of these lists,
--       5 the key of this lease, 6... the lists, level after level
-- ARGV  the numbers and names below; then the acknowledged tags; then for each queue its name, and '1' if its messages are
--       recorded; then for each level its first queue and its number of queues

local HEAD = 18
local index, unacked, record, idle, alive = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local lease, token = ARGV[1], ARGV[2]        -- the lease is empty where nothing is recorded
local credit = tonumber(ARGV[3])             -- messages
local max_bytes = tonumber(ARGV[4])          -- of whole messages: limits the size of the reply
local credit_bytes = tonumber(ARGV[5])       -- of decoded bodies: what the consumer counts of what it holds
local fair = ARGV[6] == '1'
local wake = ARGV[7]                         -- 'no', 'all' idle consumers, or 'one': the one that has waited longest
local record_ms = ARGV[8]
local dead_bounds, keeps_dead = ARGV[9], ARGV[10]  -- for dead_letters.lua, which comes before this text
local me, bell_prefix, stale_s = ARGV[11], ARGV[12], tonumber(ARGV[13])
local is_recheck = ARGV[14] == '1'           -- the consumer was idle and nobody woke it
local mark = ARGV[15]                        -- of the lease, see lease_mark.py
local acks, queues, levels = tonumber(ARGV[16]), tonumber(ARGV[17]), tonumber(ARGV[18])

local QUEUES = HEAD + acks                   -- ARGV[QUEUES + 2 * q - 1] and the one after it belong to queue q
local LEVELS = QUEUES + 2 * queues

local function arguments_fit()
  if #ARGV ~= LEVELS + 2 * levels then return false end
  local lists = 0
  for l = 1, levels do
    local first, count = tonumber(ARGV[LEVELS + 2 * l - 1]), tonumber(ARGV[LEVELS + 2 * l])
    if first < 1 or count < 1 or first + count - 1 > queues then return false end
    lists = lists + count
  end
  return #KEYS == 5 + lists
end

if not arguments_fit() then return redis.error_reply('ERR fetch: wrong number of keys or arguments') end
local last_fetch, owner = unpack(redis.call('MGET', record, alive))
-- The owner has given this connection up and taken back what was recorded: a call that comes late must take nothing.
if string.sub(last_fetch or '', -5) == ' void' then return {-1, 0} end
if lease ~= '' and owner ~= lease then return {-2, 0} end

for first = HEAD + 1, HEAD + acks, 1000 do
  local last = math.min(first + 999, HEAD + acks)
  redis.call('ZREM', index, unpack(ARGV, first, last))
  redis.call('HDEL', unacked, unpack(ARGV, first, last))
end
if queues == 0 then return {-1, 0} end       -- nothing is read

local clock = redis.call('TIME')
local instant = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local now = string.format('%.6f', instant)

local found, dead, recorded = {}, {}, {}
local bytes, body_bytes, step, full = 0, 0, 8, false

local function delivery(raw)
  local ok, message = pcall(cjson.decode, raw)
  if not ok then                             -- Python reads half of a surrogate pair, cjson does not
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

local function still_fit(limit, used, seen)  -- how many more messages fit, if they are as large as those seen
  return math.floor((limit - used) * seen / (used + 1))
end

local function take(list, q, wanted)         -- takes messages from the end of a list; returns how many
  local raws = redis.call('LRANGE', list, -math.min(wanted, step), -1)
  local scores, entries, seen = {}, {}, 0
  for i = #raws, 1, -1 do
    local raw = raws[i]
    if bytes > 0 and bytes + #raw > max_bytes then full = true; break end
    bytes, seen = bytes + #raw, seen + 1
    local tag, info, body = delivery(raw)
    if not tag then
      dead_letters(unacked, dead_bounds, keeps_dead).bury_malformed(ARGV[QUEUES + 2 * q - 1], list, raw)
      dead[#dead + 1] = q; dead[#dead + 1] = #raw
    else
      body_bytes = body_bytes + body
      if ARGV[QUEUES + 2 * q] == '1' then
        scores[#scores + 1] = now; scores[#scores + 1] = tag
        entries[#entries + 1] = tag
        entries[#entries + 1] = '[' .. raw .. ', ' .. cjson.encode(info.exchange) .. ', '
          .. cjson.encode(info.routing_key) .. ']' .. mark
        recorded[#recorded + 1] = tag
      end
      found[#found + 1] = q; found[#found + 1] = tag; found[#found + 1] = raw
      -- The message that reaches the limit is still taken. Else the rest of the credit would take many small calls.
      if body_bytes >= credit_bytes then full = true; break end
    end
  end
  if #scores > 0 then
    redis.call('ZADD', index, unpack(scores))
    redis.call('HSET', unacked, unpack(entries))
  end
  if seen > 0 then
    redis.call('LTRIM', list, 0, -seen - 1)
    credit = credit - seen                   -- malformed ones count as well: credit limits how long the script runs
    step = math.max(1, math.min(64, still_fit(max_bytes, bytes, seen), still_fit(credit_bytes, body_bytes, seen) + 1))
  end
  return seen
end

local function drain(first_key, first_queue, count)
  -- Most levels are empty: one read tells, however many lists they have.
  while credit > 0 and not full and redis.call('EXISTS', unpack(KEYS, first_key, first_key + count - 1)) > 0 do
    local share = fair and math.ceil(credit / count) or credit
    for i = 0, count - 1 do
      repeat
        if credit <= 0 or full then return end
        local seen = take(KEYS[first_key + i], first_queue + i, math.min(share, credit))
      until fair or seen == 0
    end
  end
end

local key = 6
for l = 1, levels do
  local count = tonumber(ARGV[LEVELS + 2 * l])
  drain(key, tonumber(ARGV[LEVELS + 2 * l - 1]), count)
  key = key + count
end
if #recorded > 0 then redis.call('SET', record, token .. ' ' .. cjson.encode(recorded), 'PX', record_ms) end

-- The last read of every list found it empty: with CLIENT TRACKING, the next write to it pushes a message to this
-- connection. One message should not start every idle consumer. So the idle consumers stand in a line; only the first
-- one heeds the lists, and whoever leaves that position rings the bell of the next. If the first one has died, another
-- one that rechecks by itself and finds messages takes its position.
local goes_idle = credit > 0 and not full
local position = goes_idle and 0 or -1       -- 0: heeds the lists; more: waits for its bell; -1: not idle
if wake == 'one' then
  -- ZPOPMIN and not ZRANGE: a read would be tracked as well, and each change of the key would wake this consumer.
  local listener, since = unpack(redis.call('ZPOPMIN', idle))
  local stays = listener == me and goes_idle and #found == 0 and not is_recheck
  if stays or (listener and listener ~= me and not (is_recheck and #found > 0)) then
    redis.call('ZADD', idle, since, listener)
  end
  if goes_idle and not stays then
    redis.call('ZADD', idle, now, me)
  elseif not goes_idle then
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
  if goes_idle then position = first == me and 0 or second == me and 1 or 2 end
  if position > 0 then redis.call('GET', bell_prefix .. me) end
end

local reply = {position, #dead / 2}
for i = 1, #dead do reply[#reply + 1] = dead[i] end
for i = 1, #found do reply[#reply + 1] = found[i] end
return reply
