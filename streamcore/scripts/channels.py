"""The script that publishes to channels with a history."""

from __future__ import annotations

from typing import Final

from ..commands import Script
from ..entries import StreamId

# ARGV: again, nonce, '=' or '~', maxlen, ttl in ms or 0, field, data, how far to look back, 1 if the last key is the mark or 0.
# A mark stays for 1,000 s: for longer than TCP goes on trying to deliver sent bytes (924 s on Linux).
PUBLISH: Final = Script[list[StreamId]](
    """
    local last = #KEYS - ARGV[9]
    local mark = KEYS[last + 1]
    local ids = {}
    local said = mark and redis.call('GET', mark)
    if said then
        for id in string.gmatch(said, '%S+') do ids[#ids + 1] = id end
        return ids
    end
    local function find(key)
        local last, left = '+', tonumber(ARGV[8])
        while left > 0 do
            local page = redis.call('XREVRANGE', key, last, '-', 'COUNT', 100)
            for _, entry in ipairs(page) do
                if entry[2][3] == 'nonce' and entry[2][4] == ARGV[2] then return entry[1] end
                last = '(' .. entry[1]
            end
            if #page < 100 then return false end
            left = left - 100
        end
        return false
    end
    if ARGV[5] ~= '0' and not redis.acl_check_cmd('PEXPIRE', KEYS[1], ARGV[5]) then
        return redis.error_reply("NOPERM User has no permissions to run the 'pexpire' command")
    end
    if mark and ARGV[1] == '1' and not redis.acl_check_cmd('SET', mark, '', 'PX', 1000000) then
        return redis.error_reply("NOPERM User has no permissions to run the 'set' command")
    end
    if last > 1 then
        for at = 1, last do redis.call('XLEN', KEYS[at]) end
    end
    for at = 1, last do
        local key = KEYS[at]
        local id = ARGV[1] == '1' and find(key)
        if not id then
            id = redis.call('XADD', key, 'MAXLEN', ARGV[3], ARGV[4], '*', ARGV[6], ARGV[7], 'nonce', ARGV[2])
        end
        if ARGV[5] ~= '0' then redis.call('PEXPIRE', key, ARGV[5]) end
        ids[at] = id
    end
    if mark and ARGV[1] == '1' then redis.call('SET', mark, table.concat(ids, ' '), 'PX', 1000000) end
    return ids
    """,
    lambda reply: list(map(StreamId.told, reply)),
)
