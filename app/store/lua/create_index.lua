-- Make a generation's index. KEYS: fence, generations, cells. ARGV: token, generation, then the arguments of
-- FT.CREATE.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
redis.call('FT.CREATE', unpack(ARGV, 3))
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('HSET', KEYS[3], 'version', '0')
return 1
