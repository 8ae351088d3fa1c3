"""The scripts of a lease with an epoch: to take it, to hold it, to let it go."""

from __future__ import annotations

from typing import Final

# KEYS: the lease. ARGV: our nonce, whether to take it over, connection id, run id, milliseconds.
HOLD: Final = """
local held = redis.call('HMGET', KEYS[1], 'holder', 'client', 'run')
if held[1] and held[1] ~= ARGV[1] and ARGV[2] == '0' then return {0} end
if held[1] ~= ARGV[1] then redis.call('HINCRBY', KEYS[1], 'epoch', 1) end
redis.call('PEXPIRE', KEYS[1], ARGV[5]) -- before the name is ours: it may be forbidden
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'client', ARGV[3], 'run', ARGV[4])
return {1, held[1], held[2], held[3]}
"""


LET_GO: Final = """
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
