-- Remove documents. KEYS: fence, then one key per document. ARGV: token. Returns how many were there.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
local removed = 0
for number = 2, #KEYS do
    removed = removed + redis.call('UNLINK', KEYS[number])
end
return removed
