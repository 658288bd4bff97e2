-- Lease requests out of a caller's window. KEYS: the caller's count. ARGV: limit, wanted, milliseconds of a window.
-- Windows are fixed on Redis's own clock. Returns how many were granted, how many remain, the milliseconds
-- until the window ends (rounded down) and the window's number.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local length = tonumber(ARGV[3]) * 1000
local window = math.floor(now / length)
local left = math.floor(((window + 1) * length - now) / 1000)
local stored = redis.call('HMGET', KEYS[1], 'window', 'used')
local used = 0
if stored[1] and tonumber(stored[1]) == window then
    used = tonumber(stored[2])
end
local limit = tonumber(ARGV[1])
local granted = math.max(0, math.min(tonumber(ARGV[2]), limit - used))
if granted > 0 then
    used = used + granted
    redis.call('HSET', KEYS[1], 'window', window, 'used', used)
    redis.call('PEXPIRE', KEYS[1], left + 1000)
end
return {granted, math.max(0, limit - used), left, window}
