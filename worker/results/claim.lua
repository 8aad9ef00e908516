-- Claim requests that were delivered or begun before.
--
-- KEYS: for each request its result, and the record of its attempts. ARGV: the worker; how long the record is kept, in
-- seconds. Returns for each request: 'S' or 'F' if a success or a failure is stored, else its attempts before this one.
-- Celery writes JSON with the status first.

local reply = {}
local clock = redis.call('TIME')
local entry = clock[1] .. '.' .. string.format('%06d', clock[2]) .. ' ' .. ARGV[1]
for i = 1, #KEYS, 2 do
  local head = redis.pcall('GETRANGE', KEYS[i], 0, 19)
  if head == '{"status": "SUCCESS"' or head == '{"status": "FAILURE"' then
    reply[#reply + 1] = string.sub(head, 13, 13)
  else
    reply[#reply + 1] = redis.call('LRANGE', KEYS[i + 1], 0, -1)
    redis.call('RPUSH', KEYS[i + 1], entry)
    redis.call('EXPIRE', KEYS[i + 1], ARGV[2])
  end
end
return reply
