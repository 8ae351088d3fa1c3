"""The scripts of members of a group: changes of entries with a check of the owner, and removal of idle consumers."""

from __future__ import annotations

from typing import Final

_OWNED: Final = """
local function owner(id)
    local rows = redis.pcall('XPENDING', KEYS[1], ARGV[1], id, id, 1)
    return not rows.err and rows[1] and rows[1][2]
end
local function owned(id) return owner(id) == ARGV[2] end
"""


# Returns the ids of other owners, and the ids that are not pending at all.
ACK_OWNED: Final = (
    _OWNED
    + """
local acked, theirs, settled = {}, {}, {}
for at = 3, #ARGV do
    local found = owner(ARGV[at])
    table.insert(found == ARGV[2] and acked or found and theirs or settled, ARGV[at])
end
if #acked > 0 then redis.call('XACK', KEYS[1], ARGV[1], unpack(acked)) end
return {theirs, settled}
"""
)


# ARGV: group, owner, the next owner, milliseconds of idleness, milliseconds until it may be claimed (0: at once), deliveries to
# set the counter to (-1: leave it), ids.
GIVE_BACK: Final = (
    _OWNED
    + """
local given = {}
for at = 7, #ARGV do
    if owned(ARGV[at]) then table.insert(given, ARGV[at]) end
end
if #given == 0 then return 0 end
local claim = {'XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, unpack(given)}
for _, word in ipairs({'IDLE', ARGV[4], 'JUSTID'}) do table.insert(claim, word) end
if ARGV[6] ~= '-1' then
    table.insert(claim, 'RETRYCOUNT')
    table.insert(claim, ARGV[6])
end
local delay = tonumber(ARGV[5])
if delay > 0 then -- first: a full server refuses this, and then nothing shall have happened
    local now = redis.call('TIME')
    local due = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000) + delay)
    for _, id in ipairs(given) do redis.call('ZADD', KEYS[2], due, id) end
    if redis.call('PTTL', KEYS[2]) < 2 * delay then redis.call('PEXPIRE', KEYS[2], 2 * delay) end
end
redis.call(unpack(claim))
return #given
"""
)


# ARGV: group, owner, the next owner, milliseconds of idleness, deliveries, ids.
RELEASE: Final = (
    _OWNED
    + """
local claim, given = {'XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0}, 0
for at = 6, #ARGV do
    if owned(ARGV[at]) then
        table.insert(claim, ARGV[at])
        given = given + 1
    end
end
if given == 0 then return 0 end
for _, word in ipairs({'IDLE', ARGV[4], 'RETRYCOUNT', ARGV[5], 'JUSTID'}) do table.insert(claim, word) end
redis.call(unpack(claim))
return given
"""
)


# ARGV: group, owner, id, then the fields that say why. An entry of more fields than Lua can pass on comes without them.
# Returns the letter, '' where the entry's data is gone, 0 where another member owns it. Where it is not pending at all, an
# earlier call may have buried it: then its letter, if that is among the last letters; else 1.
BURY: Final = (
    _OWNED
    + """
if not owned(ARGV[3]) then
    if owner(ARGV[3]) then return 0 end
    local letters = redis.pcall('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 100)
    for _, one in ipairs(letters.err and {} or letters) do
        local about = {}
        for at = 1, #one[2], 2 do about[one[2][at]] = one[2][at + 1] end
        for at = 4, #ARGV, 2 do
            if ARGV[at] ~= 'dead:reason' and ARGV[at] ~= 'dead:attempts' and about[ARGV[at]] ~= ARGV[at + 1] then
                about = nil
                break
            end
        end
        if about then return one[1] end
    end
    return 1
end
local found = redis.call('XRANGE', KEYS[1], ARGV[3], ARGV[3])[1]
local letter = ''
if found then
    local fields = found[2]
    if #fields > 7000 then fields = {} end
    for at = 4, #ARGV do table.insert(fields, ARGV[at]) end
    if not redis.acl_check_cmd('XACK', KEYS[1], ARGV[1], '0-0') then redis.call('XACK', KEYS[1], ARGV[1], '0-0') end
    letter = redis.call('XADD', KEYS[2], '*', unpack(fields))
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
return letter
"""
)


# KEYS: the stream, the leases on the names. ARGV: the group, the names. Returns the removed names.
REMOVE: Final = """
local removed = {}
for at = 2, #ARGV do
    local is_held = redis.call('EXISTS', KEYS[at]) == 1
    if not is_held and #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[at]) == 0 then
        local is_new = redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], ARGV[1], ARGV[at]) == 1
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[at])
        if not is_new then table.insert(removed, ARGV[at]) end
    end
end
return removed
"""
