-- Write documents that are newer than what is there. KEYS: fence, then one key per document.
-- ARGV: token, number of fields, the fields' names (the first is the version), then each document's values.
-- Returns how many were written. A missing fence means that Redis was emptied: nothing is written then.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
local count = tonumber(ARGV[2])
local written = 0
local at = 3 + count
for number = 2, #KEYS do
    local version = redis.call('HGET', KEYS[number], ARGV[3])
    if not version or tonumber(version) < tonumber(ARGV[at]) then
        local hash = {}
        for field = 0, count - 1 do
            hash[#hash + 1] = ARGV[3 + field]
            hash[#hash + 1] = ARGV[at + field]
        end
        redis.call('HSET', KEYS[number], unpack(hash))
        written = written + 1
    end
    at = at + count
end
return written
