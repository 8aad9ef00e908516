-- Claim requests that were delivered or begun before.
--
-- KEYS: for each request its result, and the record of its attempts. ARGV: the worker; how long the record is kept, in
-- seconds; how many attempts may be on record for another to begin; with how many the request is given up. Returns for
-- each request: 'S' or 'F' if a success or a failure is stored, else ''; whether this attempt may begin; those that were
-- on record before. Celery writes JSON with the status first.

local reply = {}
local clock = redis.call('TIME')
local entry = clock[1] .. '.' .. string.format('%06d', clock[2]) .. ' ' .. ARGV[1]
local most, given_up = tonumber(ARGV[3]), tonumber(ARGV[4])
for i = 1, #KEYS, 2 do
  local head = redis.pcall('GETRANGE', KEYS[i], 0, 19)
  local is_stored = head == '{"status": "SUCCESS"' or head == '{"status": "FAILURE"'
  local attempts = redis.call('LRANGE', KEYS[i + 1], 0, -1)
  local may_begin = not is_stored and #attempts <= most
  -- A request that is given up has its end. Its last attempt may still run: after this entry it is not the last any more,
  -- and its result is refused.
  if may_begin or (not is_stored and #attempts == given_up) then
    redis.call('RPUSH', KEYS[i + 1], entry)
    redis.call('EXPIRE', KEYS[i + 1], ARGV[2])
  end
  reply[#reply + 1] = {is_stored and string.sub(head, 13, 13) or '', may_begin and 1 or 0, attempts}
end
return reply
