"""What Redis does in one step: scripts in Lua.

Rules of this file:
- Each script is atomic. But an error in the middle takes nothing back. So what may fail comes
  first, or what came before it is taken back.
- ``KEYS[1]`` is a hash of the store: its clock ``t``, the present incarnation's mark ``m``, the
  server ``r`` that it began on, and all incarnations ``i`` as ``mark:start;``.
- ``ARGV[1]`` is the ``run_id`` of the server that the connection leads to, or empty if the store
  doesn't lose what it acknowledged. ``ARGV[2]`` is a random mark, for a new incarnation.
- A server that the store hasn't seen before begins an incarnation, whichever script sees it first.
- Lua's own text of a clock is rounded. ``string.format`` writes all digits.
- A topic has a stream of its events, and a key with the clock of its last one. Each entry of the
  stream has the clock of the event before, ``p``, and the event, ``d``.
"""

_TIME = """
local function text(number)
  return string.format('%.0f', number)
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
"""

_INCARNATION = (
    _TIME
    + """
local had = redis.call('HMGET', KEYS[1], 't', 'm', 'r')
local t, mark = tonumber(had[1]) or now, had[2]
if not mark or (ARGV[1] ~= '' and ARGV[1] ~= had[3]) then
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
  redis.call('HSET', KEYS[1], 't', text(t), 'm', mark, 'r', ARGV[1], 'i', all)
end
"""
)

APPEND = (
    _INCARNATION
    + """
local stream, last, once = KEYS[2], KEYS[3], KEYS[4]
local keep, keep_ms, last_ms, once_ms = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local channel, offset = ARGV[7], 7
local count = #ARGV - offset
if once then
  local appended = redis.call('GET', once)
  if appended then
    return appended
  end
end
local before = tonumber(redis.call('GET', last) or 0)
local first = math.max(now, t + 1, before + 1)

local function before_of(i)
  return i == 1 and text(before) or text(first + i - 2)
end
local function add(i)
  return redis.pcall('XADD', stream, 'MAXLEN', '=', keep, text(first + i - 1) .. '-0',
    'p', before_of(i), 'd', ARGV[offset + i])
end

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
local reached = text(first + count - 1)
redis.call('HSET', KEYS[1], 't', reached)
redis.call('SET', last, reached, 'PX', last_ms)

for i = 1, count do
  local told = redis.pcall('PUBLISH', channel,
    text(first + i - 1) .. ' ' .. before_of(i) .. ' ' .. mark .. '\\n' .. ARGV[offset + i])
  if type(told) == 'table' and told.err then
    for j = 1, count do
      redis.call('XDEL', stream, text(first + j - 1) .. '-0')
    end
    redis.call('SET', last, text(before), 'PX', last_ms)
    return told
  end
end
local answer = text(first) .. ' ' .. count .. ' ' .. mark
if once then
  redis.call('SET', once, answer, 'PX', once_ms)
end
return answer
"""
)
"""Returns the first clock, the number of events, and the mark. The clocks follow each other.

Only if the hash was lost, the clock may be at or below an entry that is there. An event that can't
be announced must not stay, because a listener takes silence for completeness.
"""

READ = (
    _INCARNATION
    + """
local after, limit = ARGV[3], tonumber(ARGV[4])
local answer = {text(t), text(now), redis.call('HGET', KEYS[1], 'i')}
for i = 2, #KEYS, 2 do
  local stream = KEYS[i]
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  local found, entries = {}, {}
  if first then
    found = redis.call('XRANGE', stream, '(' .. after .. '-0', '+', 'COUNT', limit + 1)
  end
  for j = 1, math.min(limit, #found) do
    local entry = found[j]
    entries[3 * j - 2], entries[3 * j - 1], entries[3 * j] = entry[1], entry[2][2], entry[2][4]
  end
  answer[#answer + 1] = {first and first[1] or false, first and first[2][2] or false,
    #found > limit and 1 or 0, redis.call('GET', KEYS[i + 1]), entries}
end
return answer
"""
)
"""Returns clock, time and incarnations; then for each topic its first entry's id and ``p``, whether
there is more, its last clock, and the entries."""

TICK = (
    _INCARNATION
    + """
redis.call('HDEL', KEYS[1], 'tick')
return redis.call('PUBLISH', ARGV[3], text(t) .. ' ' .. mark)
"""
)
"""Removes what isn't there: a command that writes fails on a server that has become a replica. And
it needs no memory, so it works where memory is used up."""

PROBE = (
    _TIME
    + """
local stream, text_key, hash = KEYS[1] .. ':stream', KEYS[1], KEYS[1] .. ':hash'
local tried = {
  {'DEL', stream, text_key, hash},
  {'XADD', stream, 'MAXLEN', '=', '1', '1-0', 'p', '0'},
  {'XRANGE', stream, '-', '+', 'COUNT', '1'},
  {'XINFO', 'STREAM', stream},
  {'XDEL', stream, '1-0'},
  {'SET', text_key, '1', 'PX', '1000'},
  {'GET', text_key},
  {'PTTL', text_key},
  {'PEXPIRE', stream, '1000'},
  {'HSET', hash, 'a', '1'},
  {'HGET', hash, 'a'},
  {'HMGET', hash, 'a', 'b'},
  {'HDEL', hash, 'a'},
  {'PUBLISH', ARGV[3], ''},
}
for _, command in ipairs(tried) do
  local answer = redis.pcall(unpack(command))
  if type(answer) == 'table' and answer.err then
    local where = command[1] == 'PUBLISH' and ARGV[3] or KEYS[1]
    return command[1] .. ' ' .. where .. ': ' .. answer.err
  end
end
redis.call('DEL', stream, text_key, hash)
return ''
"""
)
"""Tries each command that the other scripts use. Returns what the first one failed with."""
