-- Keeps results where plain Celery clients look for them, and wakes whoever waits for one.
--
-- KEYS  the results' keys, which are also the names of their channels
-- ARGV  1: how many seconds they are kept; 2..: the results, as their texts
for at, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[at + 1], 'EX', ARGV[1])
  redis.call('PUBLISH', key, ARGV[at + 1])
end
