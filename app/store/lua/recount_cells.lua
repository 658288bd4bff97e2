-- Replace the counts of all cells. KEYS: fence, cells. ARGV: token, then cells and their counts.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
redis.call('UNLINK', KEYS[2])
redis.call('HSET', KEYS[2], 'version', '0')
for at = 2, #ARGV, 2 do
    move(ARGV[at], tonumber(ARGV[at + 1]))
end
count_cells(KEYS[2], #ARGV - 1)
return 1
