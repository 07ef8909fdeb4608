"""What Redis does in one step: scripts in Lua. See `script_parts` for their rules."""

from sse_middleware.hub.redis.script_parts import ADDING, INCARNATION, TIME

APPEND = (
    INCARNATION
    + """
local once, once_ms, offset = KEYS[4], ARGV[7], 7
if once then
  local appended = redis.call('GET', once)
  if appended then
    return appended .. ' ' .. mark
  end
end
"""
    + ADDING
    + """
if once then
  redis.call('SET', once, added, 'PX', once_ms)
end
return added .. ' ' .. mark
"""
)
"""Returns what was added, now or before."""

READ = (
    INCARNATION
    + """
local after, limit = ARGV[3], tonumber(ARGV[4])
local answer = {text(t), text(now), redis.call('HGET', KEYS[1], 'i')}
for i = 2, #KEYS, 2 do
  local stream = KEYS[i]
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  local found, heads, blocks = {}, {}, {}
  if first then
    found = redis.call('XRANGE', stream, '(' .. after .. '-0', '+', 'COUNT', limit + 1)
  end
  for j = 1, math.min(limit, #found) do
    local fields = found[j][2]
    heads[3 * j - 2], heads[3 * j - 1], heads[3 * j] = found[j][1], fields[2], #fields[4]
    blocks[j] = fields[4]
  end
  answer[#answer + 1] = {first and first[1] or false, first and first[2][2] or false,
    #found > limit and 1 or 0, redis.call('GET', KEYS[i + 1]), table.concat(heads, ' '),
    table.concat(blocks)}
end
return answer
"""
)
"""Returns clock, time and incarnations; then for each topic its first entry's id and ``p``, whether
there is more, its last clock, and the entries: their ids, ``p`` and sizes as one text, and their
events as another.

Without hiredis, redis-py takes longer for each text of a reply than the hub does for an event.
"""

TICK = (
    INCARNATION
    + """
redis.call('HDEL', KEYS[1], 'tick')
return redis.call('PUBLISH', ARGV[3], text(t) .. ' ' .. mark .. from)
"""
)
"""Removes what isn't there: a command that writes fails on a server that has become a replica. And
it needs no memory, so it works where memory is used up."""

PROBE = (
    TIME
    + """
local stream, text_key, hash = KEYS[1] .. ':stream', KEYS[1], KEYS[1] .. ':hash'
local tried = {
  {'DEL', stream, text_key, hash},
  {'XADD', stream, 'MAXLEN', '=', '1', '1-0', 'p', '0'},
  {'XRANGE', stream, '-', '+', 'COUNT', '1'},
  {'XINFO', 'STREAM', stream},
  {'XTRIM', stream, 'MINID', '=', '1-0'},
  {'XDEL', stream, '1-0'},
  {'SET', text_key, '1', 'PX', '1000'},
  {'GET', text_key},
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
