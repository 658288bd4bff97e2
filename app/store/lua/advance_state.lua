-- Record how far a generation follows Postgres, on Redis's own clock. KEYS: fence, state.
-- ARGV: token, then fields and values.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[2], 'refreshed_at', time[1] .. '.' .. string.format('%06d', time[2]), unpack(ARGV, 2))
return 1
