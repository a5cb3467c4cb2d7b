-- Answers the order at KEYS[1]: its revision and its data.
local data = redis.call('HGET', KEYS[1], 'data')
return data and {tonumber(redis.call('HGET', KEYS[1], 'rev')), data}
