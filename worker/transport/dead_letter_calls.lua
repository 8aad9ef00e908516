-- The calls of `dead_letters.py`; dead_letters.lua comes before this text.
--
-- KEYS  1 unacked, 2 unacked_index
-- ARGV  1 the bounds, 2 '1' if envelopes are kept, 3 which call, then its arguments

local unacked, index = KEYS[1], KEYS[2]
local store = dead_letters(unacked, ARGV[1], ARGV[2])
local calls = {}

-- A tag, '1' if only a message that is recorded under it is buried, the envelope, then names and values of fields.
function calls.bury(tag, must_be_recorded, envelope, ...)
  if must_be_recorded == '1' and redis.call('HEXISTS', unacked, tag) == 0 then return 0 end
  store.bury({...}, envelope)
  redis.call('ZREM', index, tag)
  redis.call('HDEL', unacked, tag)
  return 1
end

calls.totals = store.totals

-- Letters below an id, newest first, without their envelopes: id, fields, '1' if the envelope is kept.
function calls.page(below, count)
  local page, read = {}, redis.call('XREVRANGE', store.letters, below, '-', 'COUNT', count)
  for _, letter in ipairs(read) do
    local fields, has_envelope = {}, '0'
    for i = 1, #letter[2], 2 do
      if letter[2][i] == 'envelope' then
        has_envelope = '1'
      else
        fields[#fields + 1] = letter[2][i]
        fields[#fields + 1] = letter[2][i + 1]
      end
    end
    page[#page + 1] = {letter[1], fields, has_envelope}
  end
  return page
end

-- An id, and the envelope to put back on the letter's list; without one, the letter is dropped.
function calls.remove(id, envelope)
  local letter = redis.call('XRANGE', store.letters, id, id)[1]
  if not letter then return 0 end
  if envelope then redis.call('LPUSH', store.field(letter[2], 'list'), envelope) end
  store.remove(letter)
  return 1
end

local call = calls[ARGV[3]]
if not call then return redis.error_reply('ERR dead letters: no such call') end
return call(unpack(ARGV, 4))
