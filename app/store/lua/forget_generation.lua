-- The last step of removing a generation. KEYS: fence, state, generations. ARGV: token, generation.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
redis.call('UNLINK', KEYS[2])
redis.call('SREM', KEYS[3], ARGV[2])
return 1
