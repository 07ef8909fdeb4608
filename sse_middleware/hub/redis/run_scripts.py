"""What Redis does with runs in one step: scripts in Lua.

Rules of this file:
- `script_parts` has the rules of all scripts. `StoredRun` has those of runs.
- The run of a topic is a hash, ``KEYS[4]``. It expires with the topic's stream. Its times are in
  microseconds of Redis's clock.
- A script returns the time and what the run is then, or nothing if there is no run.
- What is noted in the hash is noted last. It can't fail: the hash was read before, and Redis has
  allowed a write.
"""

from sse_middleware.hub.redis.script_parts import ADDING, INCARNATION

_RUN = (
    INCARNATION
    + """
local key = KEYS[4]
local token, start, ends, watched, limit, number, state, ended, stop = unpack(redis.call('HMGET',
  key, 'token', 'start', 'until', 'watched', 'limit', 'number', 'state', 'end', 'stop'))
local function found()
  return token and {text(now), token, start, ends, watched, limit, number, state, ended, stop}
end
"""
)

BEGIN_RUN = (
    _RUN
    + """
local asked, lease, its_limit, restart, offset = ARGV[7], ARGV[8], ARGV[9], ARGV[10], 10
if token and (restart == '0' or token == asked) then
  return found()
end
"""
    + ADDING
    + """
redis.call('XTRIM', stream, 'MINID', '=', reached .. '-0')
token, start, ends, watched, limit = asked, reached, text(now + lease), text(now), its_limit
number, state, ended, stop = '0', 'running', '0', '0'
redis.call('HSET', key, 'token', token, 'start', start, 'until', ends, 'watched', watched,
  'limit', limit, 'number', number, 'state', state, 'end', ended, 'stop', stop)
redis.call('PEXPIRE', key, keep_ms)
return found()
"""
)
"""Drops the entries of before only once the new one was announced, because that may fail."""

APPEND_TO_RUN = (
    _RUN
    + """
local its_number, lease, ending, offset = tonumber(ARGV[8]), ARGV[9], ARGV[10], 10
local known = tonumber(number)
if token ~= ARGV[7] then
  return found()
end
local aborts, over = ending == 'aborted', tonumber(ends) <= now
if not aborts and its_number < known then
  return '0 0 ' .. mark
end
if state ~= 'running' or aborts ~= over or (not aborts and its_number > known) then
  return found()
end
"""
    + ADDING
    + """
redis.call('HSET', key, 'number', aborts and known or known + 1, 'until', text(now + lease))
if ending ~= '' then
  redis.call('HSET', key, 'state', ending, 'end', reached)
end
redis.call('PEXPIRE', key, keep_ms)
return added .. ' ' .. mark
"""
)
"""Returns what was added, no events if they were added before, and the run if it is refused."""

FIND_RUN = (
    _RUN
    + """
if token and ARGV[3] == '1' then
  watched = text(now)
  redis.call('HSET', key, 'watched', watched)
end
return found()
"""
)

RENEW_RUN = (
    _RUN
    + """
local asked, lease, keep_ms, last_ms = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if token == asked and state == 'running' and tonumber(ends) > now then
  ends = text(now + lease)
  redis.call('HSET', key, 'until', ends)
  redis.call('PEXPIRE', key, keep_ms)
  redis.call('PEXPIRE', KEYS[2], keep_ms)
  redis.call('PEXPIRE', KEYS[3], last_ms)
end
return found()
"""
)

STOP_RUN = (
    _RUN
    + """
if token and state == 'running' then
  stop = '1'
  redis.call('HSET', key, 'stop', stop)
end
return found()
"""
)

RUN_SCRIPTS = (BEGIN_RUN, APPEND_TO_RUN, FIND_RUN, RENEW_RUN, STOP_RUN)
"""All of them."""
