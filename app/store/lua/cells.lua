-- What scripts that write or remove documents begin with: they count the documents of each cell, all those with
-- the same values of some fields. A cell is named by these values, joined by \31 (see app/search/cells.py).
local changes = {}

-- A document comes to a cell (1), or leaves it (-1).
local function move(cell, change)
    changes[cell] = (changes[cell] or 0) + change
end

-- A document leaves the cell that its stored fields name. One that lacks a field is in none.
local function move_out(key, ...)
    local values = redis.call('HMGET', key, ...)
    for _, value in ipairs(values) do
        if not value then
            return
        end
    end
    move(table.concat(values, '\31'), -1)
end

-- Bring the counts up to date, once all documents have moved. Answers that were kept are told of the change of
-- any document, counts that were kept of a change of the counts.
local function count_cells(cells, documents)
    local changed = false
    for cell, change in pairs(changes) do
        if change ~= 0 then
            changed = true
            if redis.call('HINCRBY', cells, cell, change) == 0 then
                redis.call('HDEL', cells, cell)
            end
        end
    end
    if documents == 0 then
        return
    end
    -- A clock, not a number that grows: a Redis restored from an older file never has the same one again.
    local time = redis.call('TIME')
    local now = time[1] .. '.' .. time[2]
    redis.call('HSET', cells, 'changed', now)
    if changed then
        redis.call('HSET', cells, 'version', now)
    end
end
