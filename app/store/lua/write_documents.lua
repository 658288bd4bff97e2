-- Write documents that are newer than what is there, or all. KEYS: fence, then one key per document.
-- ARGV: token, 'newer' or 'all', number of fields, their names (the first is the version), then each document's
-- values.
-- Returns how many were written. A missing fence means that Redis was emptied: nothing is written then.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
local all = ARGV[2] == 'all'
local count = tonumber(ARGV[3])
local written = 0
local at = 4 + count
for number = 2, #KEYS do
    local version = redis.call('HGET', KEYS[number], ARGV[4])
    if all or not version or tonumber(version) < tonumber(ARGV[at]) then
        local hash = {}
        for field = 0, count - 1 do
            hash[#hash + 1] = ARGV[4 + field]
            hash[#hash + 1] = ARGV[at + field]
        end
        redis.call('HSET', KEYS[number], unpack(hash))
        written = written + 1
    end
    at = at + count
end
return written
