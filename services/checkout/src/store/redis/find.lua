-- Answers the order of the key at KEYS[1]: its revision and its data. ARGV: the prefix of orders.
local id = redis.call('GET', KEYS[1])
if not id then return false end
local data = redis.call('HGET', ARGV[1] .. id, 'data')
return data and {tonumber(redis.call('HGET', ARGV[1] .. id, 'rev')), data}
