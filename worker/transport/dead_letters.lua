-- The dead letters: messages that no worker can use, kept for people. The scripts that use them come after this text.
--
-- letters  a stream, one entry for each; its id is the time of burial by the server's clock
-- counts   a hash. What is kept: `bytes`, and the number of letters as `kept:<reason>`. What has happened since the hash
--          began: `buried:<reason>`, and `dropped:<why>`, where `number`, `bytes` and `age` are the bounds that removed
--          a letter, and `content` is an envelope that was larger than all room

local PAGE = 16  -- letters that are read at once, at most: each may be large

-- bounds: JSON with `letters`, `bytes` and `age_s`. keeps_content: '1' if envelopes are kept
local function dead_letters(unacked, bounds, keeps_content)
  local letters, counts = unacked .. '.dead.letters', unacked .. '.dead.counts'
  bounds = cjson.decode(bounds)
  local self = {letters = letters, counts = counts}

  local function weight(fields)
    local bytes = 0
    for i = 1, #fields do bytes = bytes + #fields[i] end
    return bytes
  end

  function self.field(fields, name)
    for i = 1, #fields, 2 do
      if fields[i] == name then return fields[i + 1] end
    end
  end

  local function count(fields, sign)
    redis.call('HINCRBY', counts, 'kept:' .. (self.field(fields, 'reason') or ''), sign)
    redis.call('HINCRBY', counts, 'bytes', sign * weight(fields))
  end

  local function kept()
    local number, bytes, all = 0, 0, redis.call('HGETALL', counts)
    for i = 1, #all, 2 do
      if string.sub(all[i], 1, 5) == 'kept:' then number = number + tonumber(all[i + 1]) end
      if all[i] == 'bytes' then bytes = tonumber(all[i + 1]) end
    end
    return number, bytes, all
  end

  local function recount()
    for _, name in ipairs(redis.call('HKEYS', counts)) do
      if name == 'bytes' or string.sub(name, 1, 5) == 'kept:' then redis.call('HDEL', counts, name) end
    end
    local after = '-'
    repeat
      local page = redis.call('XRANGE', letters, after, '+', 'COUNT', PAGE)
      for _, letter in ipairs(page) do count(letter[2], 1); after = '(' .. letter[1] end
    until #page < PAGE
  end

  function self.remove(letter)  -- an id and its fields
    -- First what a full server allows: it then lets the script finish.
    redis.call('XDEL', letters, letter[1])
    count(letter[2], -1)
  end

  -- Removes what is too old, and the oldest until one more letter of this size fits; returns the id of the oldest left.
  function self.make_room(more, more_bytes)
    local number, bytes = kept()
    if number ~= redis.call('XLEN', letters) then  -- somebody has used XDEL, or the stream has expired
      recount()
      number, bytes = kept()
    end
    local clock = redis.call('TIME')
    local eldest_ms = (tonumber(clock[1]) - bounds.age_s) * 1000 + math.floor(tonumber(clock[2]) / 1000)
    local step = 1
    while number > 0 do
      local page = redis.call('XRANGE', letters, '-', '+', 'COUNT', step)
      if #page == 0 then return end
      for _, letter in ipairs(page) do
        local why = tonumber(string.match(letter[1], '^%d+')) < eldest_ms and 'age'
          or number + more > bounds.letters and 'number'
          or bytes + more_bytes > bounds.bytes and 'bytes'
        if not why then return letter[1] end
        self.remove(letter)
        redis.call('HINCRBY', counts, 'dropped:' .. why, 1)
        number, bytes = number - 1, bytes - weight(letter[2])
      end
      step = math.min(2 * step, PAGE)
    end
  end

  function self.bury(fields, envelope)  -- names and values in turn, with `reason` among them
    for _, more in ipairs({'format', '1', 'size', tostring(#envelope)}) do fields[#fields + 1] = more end
    local fits = weight(fields) + #'envelope' + #envelope <= bounds.bytes
    if keeps_content == '1' and fits then
      fields[#fields + 1] = 'envelope'
      fields[#fields + 1] = envelope
    end
    self.make_room(1, weight(fields))
    redis.call('XADD', letters, '*', unpack(fields))
    count(fields, 1)
    redis.call('HINCRBY', counts, 'buried:' .. self.field(fields, 'reason'), 1)
    if keeps_content == '1' and not fits then redis.call('HINCRBY', counts, 'dropped:content', 1) end
    redis.call('EXPIRE', letters, bounds.age_s)
    redis.call('EXPIRE', counts, bounds.age_s)
  end

  -- What cannot be decoded may still show its task and its id. Only ids like Celery's own and plain names: anything else
  -- could be part of the sender's text.
  local X4 = '%x%x%x%x'
  local ID = '"id": ?"(' .. X4 .. X4 .. '%-' .. X4 .. '%-' .. X4 .. '%-' .. X4 .. '%-' .. X4 .. X4 .. X4 .. ')"'

  function self.bury_malformed(queue, list, raw)
    local fields = {'reason', 'malformed', 'problem', 'not a message that kombu can read', 'queue', queue, 'list', list}
    local id, task = string.match(raw, ID), string.match(raw, '"task": ?"([%w_.-]+)"')
    if id then fields[#fields + 1] = 'id'; fields[#fields + 1] = id end
    if task and #task <= 100 then fields[#fields + 1] = 'task'; fields[#fields + 1] = task end
    self.bury(fields, raw)
  end

  function self.totals()  -- all counts, the id of the oldest letter, and the server's clock in seconds
    local oldest = self.make_room(0, 0)
    local _, _, all = kept()
    return {all, oldest or false, redis.call('TIME')[1]}
  end

  return self
end
