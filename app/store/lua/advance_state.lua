-- Record how far a generation follows Postgres, on Redis's own clock. KEYS: fence, state.
-- ARGV: token, claimed history, seconds since the snapshot was taken, then fields and values.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
if string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') ~= ARGV[2] then
    return redis.error_reply('FENCED: restarted or replaced by a replica, which may have lost documents')
end
local time = redis.call('TIME')
local refreshed_at = tonumber(time[1]) + tonumber(time[2]) / 1000000 - tonumber(ARGV[3])
redis.call('HSET', KEYS[2], 'refreshed_at', string.format('%.6f', refreshed_at), unpack(ARGV, 4))
return 1
