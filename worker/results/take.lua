-- Take requests of which several messages may exist: only one of them is computed.
--
-- KEYS: for each message the result of its request, and the request's mark. ARGV: how long a mark is kept, in seconds; for
-- each message its delivery tag. Returns for each 'S' if a success is stored, 'D' if another message was taken and has no
-- end yet, else ''. Celery writes JSON with the status first. Marks: producer/contract/keys.py.

local reply = {}
for i = 1, #KEYS, 2 do
  local head = redis.pcall('GETRANGE', KEYS[i], 0, 19)
  local has_ended = head == '{"status": "FAILURE"' or head == '{"status": "REVOKED"'
  local mark = redis.pcall('GET', KEYS[i + 1])
  local tag = ARGV[(i + 3) / 2]
  local is_others = type(mark) == 'string' and string.sub(mark, 1, 1) == '=' and string.sub(mark, 2) ~= tag
  if head == '{"status": "SUCCESS"' then
    reply[#reply + 1] = 'S'
  elseif is_others and not has_ended then
    reply[#reply + 1] = 'D'
  else
    redis.call('SET', KEYS[i + 1], '=' .. tag, 'EX', ARGV[1])
    reply[#reply + 1] = ''
  end
end
return reply
