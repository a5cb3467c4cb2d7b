-- Stores a new order, unless its key has one, or the user's latest one holds the cart, or held it when
-- the cart was read for this one. Of that one the revision and the data are answered.
-- KEYS: the key, the order, the user's list, the open orders.
-- ARGV: id, data, milliseconds until it is due, seconds that the list lives, its length, the prefix of orders, the
-- version of the cart.
local function stored(id)
  local data = id and redis.call('HGET', ARGV[6] .. id, 'data')
  return data and {tonumber(redis.call('HGET', ARGV[6] .. id, 'rev')), data}
end
local known = stored(redis.call('GET', KEYS[1]))
if known then return known end
local latest = redis.call('LINDEX', KEYS[3], 0)
if latest then
  local held = redis.call('HGET', ARGV[6] .. latest, 'cart')
  local emptied = redis.call('HGET', ARGV[6] .. latest, 'emptied')
  local own, read = string.match(ARGV[7], '^(.*)-(%d+)$')
  local same, without = string.match(emptied or '', '^(.*)-(%d+)$')
  local is_behind = own and own == same and tonumber(read) < tonumber(without)
  if held == '1' or is_behind then return stored(latest) end
end
-- What is no set fails here, before anything is written.
redis.call('ZCARD', KEYS[4])
local time = redis.call('TIME')
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], 'rev', 1, 'data', ARGV[2], 'cart', 1)
redis.call('LPUSH', KEYS[3], ARGV[1])
redis.call('LTRIM', KEYS[3], 0, ARGV[5] - 1)
redis.call('EXPIRE', KEYS[3], ARGV[4])
redis.call('ZADD', KEYS[4], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3], ARGV[1])
return false
