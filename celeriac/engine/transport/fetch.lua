-- Pops up to a number of messages over all queues and priorities and parks each of them.
--
-- KEYS  1: this channel's parking (a hash); 2: the registry of parkings; 3..: the lists, priority
--       by priority, the queues of one priority side by side
-- ARGV  1: messages at the most; 2: the number of queues; 3: what tags begin with; 4: the first
--       tag's number; 5, 6: the list and the body of a message that was popped already, or empty;
--       7: whose parking it is; 8: tags that are acknowledged, with a space between two
-- Returns list, lengths, bodies; list, lengths, bodies; ...: messages of one list that were taken one
-- after the other, their bodies in one piece, and how long each is. Their tags are numbered in this
-- order. A reader takes three texts in less time than three for each message.
local parking = KEYS[1]
local room = tonumber(ARGV[1])
local queues = tonumber(ARGV[2])
local number = tonumber(ARGV[4])
local found = {}

-- With its memory full the broker lets a script write only after a command that can but free some.
-- This one does nothing else; what is parked below was in the memory before.
redis.call('HDEL', parking, '')
-- Each time: the registry is gone when somebody wiped the broker.
redis.call('HSETNX', KEYS[2], parking, ARGV[7])

local lengths, bodies, size = {}, {}, 0
local from = nil

local function finish()
  if from then
    found[#found + 1] = from
    found[#found + 1] = table.concat(lengths, ' ')
    found[#found + 1] = table.concat(bodies)
  end
  lengths, bodies, size = {}, {}, 0
end

local function park(list, body)
  -- A list's name holds no NUL, so the first one ends it.
  redis.call('HSET', parking, ARGV[3] .. number, list .. '\0' .. body)
  number = number + 1
  if list ~= from or size > 1000000 then
    finish()
    from = list
  end
  lengths[#lengths + 1] = #body
  bodies[#bodies + 1] = body
  size = size + #body
end

if ARGV[5] ~= '' then
  park(ARGV[5], ARGV[6])
end

local function pop(list, most)
  local bodies = redis.call('RPOP', list, most)
  if not bodies then
    return 0
  end
  for _, body in ipairs(bodies) do
    park(list, body)
  end
  return #bodies
end

for start = 3, #KEYS, queues do
  -- Each queue of a priority gets its share first, so that a busy one never starves the others.
  local share = math.max(1, math.floor(room / queues))
  for _, most in ipairs({share, room}) do
    for at = start, start + queues - 1 do
      local wanted = math.min(most, room)
      if wanted > 0 then
        room = room - pop(KEYS[at], wanted)
      end
    end
  end
end

finish()

-- Last: the message that was popped already may be done with.
local done = {}
for tag in string.gmatch(ARGV[8], '%S+') do
  done[#done + 1] = tag
end
for first = 1, #done, 1000 do
  redis.call('HDEL', parking, unpack(done, first, math.min(first + 999, #done)))
end

return found
