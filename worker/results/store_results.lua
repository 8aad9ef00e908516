-- Store and publish results, except those whose request has already succeeded.
-- KEYS: one per result. ARGV: for each key its value and its time to live in seconds (0: no expiry).
-- Celery writes JSON with the status first. Any other content of a key is overwritten.
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
