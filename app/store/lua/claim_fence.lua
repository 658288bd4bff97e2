-- Show a new leader's token. KEYS: fence. ARGV: token. Returns 1, or 0 if a later leader was here.
local shown = redis.call('GET', KEYS[1])
if shown and tonumber(shown) > tonumber(ARGV[1]) then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
