-- Store and publish results, except those whose request has already succeeded, or was claimed by another worker since.
--
-- KEYS: for each result its key; then for each the record of its request's attempts. ARGV: for each result its value, its
-- time to live in seconds (0: no expiry), and the attempt that computed it. Returns the positions of the results that
-- belong to another worker's attempt. Celery writes JSON with the status first. Any other content of a key is overwritten.

local success = '{"status": "SUCCESS"'
local count = #KEYS / 2
local superseded = {}
-- Nearly always nothing is stored and nothing was claimed: one read tells.
local is_first = redis.call('EXISTS', unpack(KEYS)) == 0
for i = 1, count do
  local key, value, seconds, attempt = KEYS[i], ARGV[3 * i - 2], tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local is_stored, claimed = false, 0
  if not is_first then
    is_stored = redis.pcall('GETRANGE', key, 0, #success - 1) == success
    claimed = redis.pcall('LLEN', KEYS[count + i])
    claimed = type(claimed) == 'number' and claimed or 0
  end
  if claimed + 1 > attempt then
    superseded[#superseded + 1] = i
  elseif not is_stored then
    if seconds > 0 then
      redis.call('SET', key, value, 'EX', seconds)
    else
      redis.call('SET', key, value)
    end
    redis.call('PUBLISH', key, value)
  end
end
return superseded
