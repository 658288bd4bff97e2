-- Make a generation the live one. KEYS: fence, live. ARGV: token, claimed history, generation, alias, index.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
if string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') ~= ARGV[2] then
    return redis.error_reply('FENCED: restarted or replaced by a replica, which may have lost documents')
end
redis.call('FT.ALIASUPDATE', ARGV[4], ARGV[5])
redis.call('SET', KEYS[2], ARGV[3])
return 1
