-- Requests about profiles for wrk: wrk -s profiles.lua URL -- KIND OWNERS MEMBERS INSTRUMENTS EDITED PATH ...
-- KIND is `reads`, `patches`, `edits` or `lifecycles`, the numbers are those of `bare.py`, the paths are those of profiles of the key `measure-0`.

local COLLECTION = "/v1/subscription-profiles"
local KEPT = 64 -- profiles that were created and are not deleted yet

local OWNERS, MEMBERS, INSTRUMENTS, EDITED
local kind, paths, created = nil, {}, {}
local run, turn = os.time(), 0

local function path()
    return paths[turn % #paths + 1]
end

local function headers(key, more)
    local all = {["X-API-Key"] = key, ["Content-Type"] = "application/json"}
    for name, value in pairs(more or {}) do
        all[name] = value
    end
    return all
end

local function once()
    return {["Idempotency-Key"] = run .. "-" .. turn}
end

-- `count` ids from `first` on, of the instruments that profiles have.
local function ids(first, count)
    local texts = {}
    for place = 0, count - 1 do
        texts[place + 1] = '"ins_' .. (first + place) % INSTRUMENTS + 1 .. '"'
    end
    return "[" .. table.concat(texts, ",") .. "]"
end

local requests = {}

function requests.reads()
    return wrk.format("GET", path(), headers("measure-0"))
end

function requests.patches()
    local body = string.format('{"description":"written %d"}', turn)
    return wrk.format("PATCH", path(), headers("measure-0", {["If-Match"] = "*"}), body)
end

function requests.edits()
    local add = math.random(0, INSTRUMENTS - 1)
    local body = string.format(
        '{"add":%s,"remove":%s}', ids(add, EDITED), ids(add + math.random(EDITED, INSTRUMENTS - EDITED), EDITED)
    )
    return wrk.format("POST", path() .. "/instruments", headers("measure-0", once()), body)
end

function requests.lifecycles()
    if #created > KEPT then
        return wrk.format("DELETE", table.remove(created), headers("measure-all", {["If-Match"] = "*"}))
    end
    local body = string.format(
        '{"name":"%d-%d","channels":["trades","quotes"],"selection":{"instruments":%s}}',
        run, turn, ids(0, MEMBERS)
    )
    return wrk.format("POST", COLLECTION, headers("measure-" .. turn % OWNERS, once()), body)
end

function init(arguments)
    kind = arguments[1]
    OWNERS, MEMBERS = tonumber(arguments[2]), tonumber(arguments[3])
    INSTRUMENTS, EDITED = tonumber(arguments[4]), tonumber(arguments[5])
    for place = 6, #arguments do
        paths[place - 5] = arguments[place]
    end
end

function request()
    turn = turn + 1
    return requests[kind]()
end

function response(status, answer_headers)
    if status == 201 then
        created[#created + 1] = answer_headers["Location"]
    end
end
