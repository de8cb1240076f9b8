-- Keeps what running tasks say of themselves where plain Celery clients look for it.
--
-- ARGV  1: how many seconds it is kept; 2: a result's key; 3: its text; 4: the next one's key; ...
--
-- Nobody is woken by it. A result that stands there stays: a worker that lost its lease may say
-- something of a task that has ended.
local unfinished = '"date_done":null}'

for i = 2, #ARGV, 2 do
  local known = redis.call('GET', ARGV[i])
  if not known or string.sub(known, -#unfinished) == unfinished then
    redis.call('SET', ARGV[i], ARGV[i + 1], 'EX', ARGV[1])
  end
end
