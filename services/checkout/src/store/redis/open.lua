-- Stores a new order, unless its key has one, which is answered: its revision and its data.
-- KEYS: the key, the order, the user's list, the open orders.
-- ARGV: id, data, milliseconds until it is due, seconds that the list lives, its length, the prefix of orders.
local known = redis.call('GET', KEYS[1])
if known then
  local name = ARGV[6] .. known
  local data = redis.call('HGET', name, 'data')
  if data then return {tonumber(redis.call('HGET', name, 'rev')), data} end
end
-- What is no list and no set fails here, before anything is written.
redis.call('LLEN', KEYS[3])
redis.call('ZCARD', KEYS[4])
local time = redis.call('TIME')
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], 'rev', 1, 'data', ARGV[2])
redis.call('LPUSH', KEYS[3], ARGV[1])
redis.call('LTRIM', KEYS[3], 0, ARGV[5] - 1)
redis.call('EXPIRE', KEYS[3], ARGV[4])
redis.call('ZADD', KEYS[4], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3], ARGV[1])
return false
