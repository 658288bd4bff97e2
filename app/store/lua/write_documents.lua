-- Write documents that are newer than what is there, or all. KEYS: fence, parked, cells, then one key per document.
-- ARGV: token, 'newer' or 'all', number of a cell's fields, their names, number of all fields, their names (the
-- first is the version), then each document's values, as one MessagePack array of texts.
-- Returns how many were written. A missing fence means that Redis was emptied: nothing is written then.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
local all = ARGV[2] == 'all'
local cell_count = tonumber(ARGV[3])
local count = tonumber(ARGV[4 + cell_count])
local names_at = 5 + cell_count
local places = {}
for field = 1, count do
    places[ARGV[names_at + field - 1]] = field
end
local values = {}
local some_are_parked = redis.call('EXISTS', KEYS[2]) == 1
local written = 0
for number = 4, #KEYS do
    local version = redis.call('HGET', KEYS[number], ARGV[names_at])
    local document = cmsgpack.unpack(ARGV[names_at + count + number - 4])
    if all or not version or tonumber(version) < tonumber(document[1]) then
        if version then
            move_out(KEYS[number], unpack(ARGV, 4, 3 + cell_count))
        end
        for field = 1, cell_count do
            values[field] = document[places[ARGV[3 + field]]]
        end
        move(table.concat(values, '\31'), 1)
        local hash = {}
        for field = 1, count do
            hash[#hash + 1] = ARGV[names_at + field - 1]
            hash[#hash + 1] = document[field]
        end
        redis.call('HSET', KEYS[number], unpack(hash))
        written = written + 1
    end
    if some_are_parked then
        redis.call('HDEL', KEYS[2], KEYS[number])
    end
end
count_cells(KEYS[3], written)
return written
