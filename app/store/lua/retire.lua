-- Have no generation live any more. KEYS: fence, live. ARGV: token, alias.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
redis.call('UNLINK', KEYS[2])
redis.pcall('FT.ALIASDEL', ARGV[2])
return 1
