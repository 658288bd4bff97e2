-- Remove documents. KEYS: fence, parked, cells, then one key per document. ARGV: token, then the names of a cell's
-- fields. Returns how many were there. Those of a generation without cells are not counted.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
local are_counted = redis.call('EXISTS', KEYS[3]) == 1
local removed = 0
for number = 4, #KEYS do
    if are_counted then
        move_out(KEYS[number], unpack(ARGV, 2))
    end
    removed = removed + redis.call('UNLINK', KEYS[number])
    redis.call('HDEL', KEYS[2], KEYS[number])
end
if are_counted then
    count_cells(KEYS[3], removed)
end
return removed
