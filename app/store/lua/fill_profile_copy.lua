-- Put a copy where still stands what its reader found or left there before reading Postgres.
-- KEYS: the copy. ARGV: the mark or claim expected, the copy ("": there is no such profile), milliseconds it lives.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
if ARGV[2] == '' then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
