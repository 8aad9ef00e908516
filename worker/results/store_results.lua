-- Store results and tell who waits for them, but for those whose request has succeeded already.
-- KEYS: one a result. ARGV: for each its value, and how long it lasts in seconds (0: for ever).
-- Celery writes JSON with the status first; what else a key may hold does not matter.
local success = '{"status": "SUCCESS"'
for i, key in ipairs(KEYS) do
  local value, seconds = ARGV[2 * i - 1], tonumber(ARGV[2 * i])
  if redis.pcall('GETRANGE', key, 0, #success - 1) ~= success then
    if seconds > 0 then
      redis.call('SET', key, value, 'EX', seconds)
    else
      redis.call('SET', key, value)
    end
    redis.call('PUBLISH', key, value)
  end
end
