-- Drop the index of a generation that is not live; its documents stay.
-- KEYS: fence, live, cells. ARGV: token, generation, index.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED')
end
if redis.call('GET', KEYS[2]) == ARGV[2] then
    return redis.error_reply('FENCED: the generation is live')
end
-- Without DD: that would block Redis while it deletes every document.
redis.call('FT.DROPINDEX', ARGV[3])
-- Nobody counts its documents any more, which are removed one by one.
redis.call('UNLINK', KEYS[3])
return 1
