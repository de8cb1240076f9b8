-- Gives parked messages back to their lists, in the order in which they were taken.
--
-- KEYS  1: a parking
-- ARGV  1: 'first' to have them taken next, 'last' to have them taken behind all others;
--       2..: tags; none means everything that is parked
-- Returns how many were given back.
local parking = KEYS[1]
local is_first = ARGV[1] == 'first'
local found = {}

local function find(tag, parked)
  if parked then
    found[#found + 1] = {tag, parked, tonumber(string.match(tag, '%d+$')) or 0}
  end
end

if #ARGV > 1 then
  for at = 2, #ARGV do
    find(ARGV[at], redis.call('HGET', parking, ARGV[at]))
  end
else
  local everything = redis.call('HGETALL', parking)
  for at = 1, #everything, 2 do
    find(everything[at], everything[at + 1])
  end
end

-- A hash has no order, and what is pushed at the end from which messages are taken comes first.
table.sort(found, function(one, other)
  if is_first then
    return one[3] > other[3]
  end
  return one[3] < other[3]
end)

-- With its memory full the broker lets a script write only after a command that can but free some.
redis.call('HDEL', parking, '')
for _, each in ipairs(found) do
  local tag, parked = each[1], each[2]
  local ends = string.find(parked, '\0', 1, true)
  redis.call(
    is_first and 'RPUSH' or 'LPUSH', string.sub(parked, 1, ends - 1), string.sub(parked, ends + 1)
  )
  redis.call('HDEL', parking, tag)
end
return #found
