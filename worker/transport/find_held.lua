-- Find what ended leases hold: some of the records at a time, in the order of `unacked_index`.
--
-- What an ended lease holds keeps its place in that order, or somebody who holds the same message moves it to the end. So
-- a search from the first place to the last sees all of it, whatever others do, and on another server too. One consumer
-- searches at a time: a search reads all records.
--
-- KEYS  1 the leases that have ended, 2 who searches, 3 unacked_index, 4 unacked
-- ARGV  1 who asks, 2 for how many milliseconds it is the one who searches, 3 and 4 score and tag of the last place that was
--       read, both empty at first; then for each lease its name and its mark
-- Returns 0 if somebody else searches, -1 if one of the leases has not ended, or is forgotten. Otherwise 1, the last place
-- that was read, empty if there are no more, and for each held message the number of its lease in ARGV and its tag.

local PLACES, AT_ONCE, MAX_BYTES = 1000, 16, 1048576
local ended, claim, index, unacked = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local me, claim_ms, score, tag = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local wanted = {}
for i = 5, #ARGV, 2 do
  if not redis.call('ZSCORE', ended, ARGV[i]) then return {-1} end
  wanted[']' .. ARGV[i + 1]] = (i - 3) / 2
end
if (redis.call('GET', claim) or me) ~= me then return {0} end
redis.call('SET', claim, me, 'PX', claim_ms)

local function is_after(a, b)                -- as the server orders members, which Lua's own comparison may not
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x > y end
  end
  return #a > #b
end

local first = 0
if score ~= '' then
  -- The last place that was read may be gone: look for the first one after it, among those with the same score.
  local high = redis.call('ZCOUNT', index, '-inf', score)
  first = redis.call('ZCOUNT', index, '-inf', '(' .. score)
  while first < high do
    local middle = math.floor((first + high) / 2)
    if is_after(redis.call('ZRANGE', index, middle, middle)[1], tag) then high = middle else first = middle + 1 end
  end
end
local places = redis.call('ZRANGE', index, first, first + PLACES - 1, 'WITHSCORES')

local found, bytes, read = {}, 0, 0          -- `read` counts places
while 2 * read < #places and bytes < MAX_BYTES do
  local tags = {}
  for i = read + 1, math.min(read + AT_ONCE, #places / 2) do tags[#tags + 1] = places[2 * i - 1] end
  for i, record in ipairs(redis.call('HMGET', unacked, unpack(tags))) do
    if record then
      bytes = bytes + #record
      local lease = wanted[string.sub(record, -17)]
      if lease then found[#found + 1] = lease; found[#found + 1] = tags[i] end
    end
  end
  read = read + #tags
end

local is_end = read < PLACES and 2 * read == #places
return {1, is_end and '' or places[2 * read], is_end and '' or places[2 * read - 1], unpack(found)}
