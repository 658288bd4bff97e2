-- Show a new leader's token. KEYS: fence. ARGV: token.
-- Returns which history of this Redis was claimed, or nil if a later leader was here.
local shown = redis.call('GET', KEYS[1])
if shown and tonumber(shown) > tonumber(ARGV[1]) then
    return nil
end
redis.call('SET', KEYS[1], ARGV[1])
return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
