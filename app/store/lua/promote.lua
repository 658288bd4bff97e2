-- Make a generation the live one. KEYS: fence, live. ARGV: token, generation, alias, index.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
redis.call('FT.ALIASUPDATE', ARGV[3], ARGV[4])
redis.call('SET', KEYS[2], ARGV[2])
return 1
