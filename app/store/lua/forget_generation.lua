-- The last step of removing a generation. KEYS: fence, generations, state, parked, cells. ARGV: token,
-- generation.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
redis.call('UNLINK', KEYS[3], KEYS[4], KEYS[5])
redis.call('SREM', KEYS[2], ARGV[2])
return 1
