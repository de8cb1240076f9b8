-- Keeps results where plain Celery clients look for them, and wakes whoever waits for one.
--
-- ARGV  1: how many seconds they are kept; 2: the lengths of all texts of the third, with a space
--       between two; 3: a result's key, which is also the name of its channel, and its text; the next
--       one's; ...
local start = 1

local function cut(length)
  local text = string.sub(ARGV[3], start, start + length - 1)
  start = start + length
  return text
end

for key_length, text_length in string.gmatch(ARGV[2], '(%d+) (%d+)') do
  local key = cut(tonumber(key_length))
  local text = cut(tonumber(text_length))
  redis.call('SET', key, text, 'EX', ARGV[1])
  redis.call('PUBLISH', key, text)
end
