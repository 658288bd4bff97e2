-- The finished JSON of documents, nil where there is none. KEYS: one key per document.
local documents = {}
for number = 1, #KEYS do
    documents[number] = redis.call('HGET', KEYS[number], 'json')
end
return documents
