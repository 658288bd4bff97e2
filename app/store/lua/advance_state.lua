-- Record how far a generation follows Postgres, on Redis's own clock. KEYS: fence, state.
-- ARGV: token, seconds since the snapshot was taken, then fields and values.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
local time = redis.call('TIME')
local refreshed_at = tonumber(time[1]) + tonumber(time[2]) / 1000000 - tonumber(ARGV[2])
redis.call('HSET', KEYS[2], 'refreshed_at', string.format('%.6f', refreshed_at), unpack(ARGV, 3))
return 1
