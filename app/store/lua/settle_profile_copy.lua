-- After a commit: replace the mark that announced it. KEYS: the copy. ARGV: the mark, the version committed,
-- its copy ("": the profile is gone), milliseconds that it lives.
-- What a later writer announced stays; where nothing is, nothing is put: somebody may have seen a later state.
local present = redis.call('GET', KEYS[1])
if not present then
    return 0
end
local version = string.match(present, '^copy%z(%d+)%z')
if string.sub(present, 1, 6) == 'claim\0' then
    -- Its reader may have seen what was before the commit.
    redis.call('DEL', KEYS[1])
elseif present == ARGV[1] or (version and tonumber(version) < tonumber(ARGV[2])) then
    if ARGV[3] == '' then
        redis.call('DEL', KEYS[1])
    else
        redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
    end
end
return 1
