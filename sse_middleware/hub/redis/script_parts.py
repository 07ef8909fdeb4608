"""Pieces of the scripts that Redis runs. A script is some of them and its own lines, in Lua.

Rules of this file:
- Each script is atomic. But an error in the middle takes nothing back. So what may fail comes
  first, or what came before it is taken back. Redis refuses a script for want of memory or as a
  replica only at its first write.
- ``KEYS[1]`` is a hash of the store: its clock ``t``, the present incarnation's mark ``m``, the
  server ``r`` that it began on, and all incarnations ``i`` as ``mark:start;``.
- ``ARGV[1]`` is the ``run_id`` of the server that the connection leads to. More follows it if the
  store doesn't lose what it acknowledged. ``ARGV[2]`` is a random mark, for a new incarnation.
- A server that the store hasn't seen before begins an incarnation, whichever script sees it first.
- A message names the server that sent it. Replicas pass it on, but may leave something out.
- Lua's own text of a clock is rounded. ``string.format`` writes all digits.
- A topic has a stream of its events, and a key with the clock of its last one. Each entry of the
  stream has the clock of the event before, ``p``, and the event, ``d``.
"""

TIME = """
local function text(number)
  return string.format('%.0f', number)
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
"""

INCARNATION = (
    TIME
    + """
local had = redis.call('HMGET', KEYS[1], 't', 'm', 'r')
local t, mark = tonumber(had[1]) or now, had[2]
local server, durable = ARGV[1]:match('^(%w*)(.*)$')
local from = ' ' .. server:sub(1, 8)
if not mark or (durable == '' and server ~= had[3]) then
  local all = redis.call('HGET', KEYS[1], 'i') or ''
  local _, count = all:gsub(';', ';')
  if count >= 64 then
    all = all:gsub('^[^;]*;', '')
  end
  mark = ARGV[2]
  while (';' .. all):find(';' .. mark .. ':', 1, true) do
    mark = text((mark + 1) % 1048576)
  end
  all = all .. mark .. ':' .. text(t) .. ';'
  redis.call('HSET', KEYS[1], 't', text(t), 'm', mark, 'r', server, 'i', all)
end
"""
)

ADDING = """
local stream, last = KEYS[2], KEYS[3]
local keep, keep_ms, last_ms, channel = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local count = #ARGV - offset
local before = redis.call('GET', last) or '0'
local first = math.max(now, t + 1, before + 1)

local clocks = {}
local function number_all()
  clocks[0] = before
  for i = 1, count do
    clocks[i] = text(first + i - 1)
  end
end
local function add(i)
  return redis.pcall('XADD', stream, 'MAXLEN', '=', keep, clocks[i] .. '-0',
    'p', clocks[i - 1], 'd', ARGV[offset + i])
end

number_all()
if keep == '0' then
  redis.call('DEL', stream)
else
  local added = add(1)
  if type(added) == 'table' and added.err and added.err:find('equal or smaller', 1, true) then
    local info = redis.call('XINFO', 'STREAM', stream)
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then
        first = math.max(first, tonumber(info[i + 1]:match('^%d+')) + 1)
      end
    end
    number_all()
    added = add(1)
  end
  if type(added) == 'table' and added.err then
    return added
  end
  for i = 2, count do
    add(i)
  end
  redis.call('PEXPIRE', stream, keep_ms)
end
local reached = clocks[count]
redis.call('HSET', KEYS[1], 't', reached)
redis.call('SET', last, reached, 'PX', last_ms)

for i = 1, count do
  local told = redis.pcall('PUBLISH', channel,
    clocks[i] .. ' ' .. clocks[i - 1] .. ' ' .. mark .. from .. '\\n' .. ARGV[offset + i])
  if type(told) == 'table' and told.err then
    for j = 1, count do
      redis.call('XDEL', stream, clocks[j] .. '-0')
    end
    redis.call('SET', last, before, 'PX', last_ms)
    return told
  end
end
local added = clocks[1] .. ' ' .. count
"""
"""Numbers the events after ``ARGV[offset]``, keeps them and announces them, or ends the script with
the error. ``added`` has the first clock and the number of events. The clocks follow each other.

Only if the hash was lost, the clock may be at or below an entry that is there. An event that can't
be announced must not stay, because a listener takes silence for completeness.
"""
