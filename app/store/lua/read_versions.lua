-- The versions of documents, nil where there is none. KEYS: one key per document.
local versions = {}
for number = 1, #KEYS do
    versions[number] = redis.call('HGET', KEYS[number], 'version')
end
return versions
