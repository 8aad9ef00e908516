-- Take requests of which several messages may exist: only one of them is computed.
--
-- KEYS: for each message the result of its request, and the request's mark. ARGV: how long a mark is kept, in seconds; for
-- each message the name of its sending. Returns for each 'S' if a success is stored, 'D' if another message was taken and not
-- revoked since, else ''. Celery writes JSON with the status first. Marks: producer/contract/keys.py.

local reply = {}
for i = 1, #KEYS, 2 do
  local head = redis.pcall('GETRANGE', KEYS[i], 0, 19)
  local mark = redis.pcall('GET', KEYS[i + 1])
  local sending = ARGV[(i + 3) / 2]
  local is_others = type(mark) == 'string' and string.sub(mark, 1, 1) == '=' and string.sub(mark, 2) ~= sending
  if head == '{"status": "SUCCESS"' then
    reply[#reply + 1] = 'S'
  elseif is_others and head ~= '{"status": "REVOKED"' then
    reply[#reply + 1] = 'D'
  else
    redis.call('SET', KEYS[i + 1], '=' .. sending, 'EX', ARGV[1])
    reply[#reply + 1] = ''
  end
end
return reply
