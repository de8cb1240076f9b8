-- Gives parked messages back to their lists, where they are taken next (or last).
--
-- KEYS  1: a parking
-- ARGV  1: 'first' or 'last'; 2..: tags; none means everything that is parked
-- Returns how many were given back.
local parking = KEYS[1]
local push = ARGV[1] == 'first' and 'RPUSH' or 'LPUSH'
local count = 0

local function give_back(tag, parked)
  local ends = string.find(parked, '\0', 1, true)
  redis.call(push, string.sub(parked, 1, ends - 1), string.sub(parked, ends + 1))
  redis.call('HDEL', parking, tag)
  count = count + 1
end

if #ARGV > 1 then
  for at = 2, #ARGV do
    local parked = redis.call('HGET', parking, ARGV[at])
    if parked then
      give_back(ARGV[at], parked)
    end
  end
else
  local everything = redis.call('HGETALL', parking)
  for at = 1, #everything, 2 do
    give_back(everything[at], everything[at + 1])
  end
end
return count
