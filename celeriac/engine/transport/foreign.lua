-- Takes messages that are no doorbells out of the middle of lists, and parks each of them.
--
-- KEYS  1: this channel's parking (a hash); 2: the registry of parkings; 3..: the lists
-- ARGV  1: messages at the most; 2: what tags begin with; 3: the first tag's number; 4: whose parking
--       it is; 5: what every doorbell holds; 6: how many of each list, counted from the newest, are
--       left out; 7: how many are looked at after those
-- Returns whether some list goes on behind what was looked at; then tag, list, body; ...
local parking = KEYS[1]
local room = tonumber(ARGV[1])
local number = tonumber(ARGV[3])
local first = tonumber(ARGV[6])
local last = first + tonumber(ARGV[7]) - 1
local found = {'0'}

-- As in fetch.lua: with its memory full the broker lets a script write only after this.
redis.call('HDEL', parking, '')
redis.call('HSETNX', KEYS[2], parking, ARGV[4])

for at = 3, #KEYS do
  local list = KEYS[at]
  local taken = 0
  for place, body in ipairs(redis.call('LRANGE', list, first, last)) do
    if room > 0 and not string.find(body, ARGV[5], 1, true) then
      local tag = ARGV[2] .. number
      number = number + 1
      room = room - 1
      taken = taken + 1
      redis.call('HSET', parking, tag, list .. '\0' .. body)
      -- No message is empty: all that were taken are removed in one walk.
      redis.call('LSET', list, first + place - 1, '')
      found[#found + 1] = tag
      found[#found + 1] = list
      found[#found + 1] = body
    end
  end
  if taken > 0 then
    redis.call('LREM', list, 0, '')
  end
  if redis.call('LLEN', list) > last + 1 - taken then
    found[1] = '1'
  end
end

return found
