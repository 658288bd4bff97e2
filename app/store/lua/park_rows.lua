-- Note rows that no documents can be made of. KEYS: fence, parked, then one document's key per row.
-- ARGV: token, then why, for each. Returns the places, from 1, of those of which this was not known.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
local new = {}
for number = 3, #KEYS do
    local reason = ARGV[number - 1]
    if redis.call('HGET', KEYS[2], KEYS[number]) ~= reason then
        redis.call('HSET', KEYS[2], KEYS[number], reason)
        new[#new + 1] = number - 2
    end
end
return new
