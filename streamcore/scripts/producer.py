"""The script of an idempotent producer, for servers that do not know repetitions by themselves."""

from __future__ import annotations

from typing import Final

from ..commands import Script

# 'n' counts the messages, 's<number>' holds the field of one of the last messages, 'm<message>' its id.
APPEND_ONCE: Final = Script[bytes](
    """
    local message = 'm' .. ARGV[1]
    local id = redis.call('HGET', KEYS[2], message)
    if not id then
        local place = 's' .. redis.call('HINCRBY', KEYS[2], 'n', 1) % ARGV[2]
        redis.call('PEXPIRE', KEYS[2], ARGV[3]) -- before anything is appended: it may be forbidden
        id = redis.call('XADD', KEYS[1], unpack(ARGV, 4))
        local oldest = redis.call('HGET', KEYS[2], place)
        if oldest then redis.call('HDEL', KEYS[2], oldest) end
        redis.call('HSET', KEYS[2], place, message, message, id)
    else
        redis.call('PEXPIRE', KEYS[2], ARGV[3])
    end
    return id
    """,
    None,
)
