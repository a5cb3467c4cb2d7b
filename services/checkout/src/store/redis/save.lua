-- Stores a change of an order. Answers 0 if somebody else has changed it.
-- KEYS: the order, its key, the open orders, the stuck orders.
-- ARGV: id, revision before the change, data, milliseconds until it is due (-1: never), seconds that it lives then,
-- seconds that its key lives then (0: it is free at once), 1 if it is stuck, 1 if it holds the cart,
-- the version of the cart without what was ordered.
local rev, data = redis.call('HGET', KEYS[1], 'rev'), redis.call('HGET', KEYS[1], 'data')
-- The answer may have been lost.
if rev == tostring(ARGV[2] + 1) and data == ARGV[3] then return 1 end
if rev ~= ARGV[2] then return 0 end
-- What is no set fails here, before anything is written.
redis.call('ZCARD', KEYS[3])
redis.call('ZCARD', KEYS[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'rev', ARGV[2] + 1, 'data', ARGV[3], 'cart', ARGV[8], 'emptied', ARGV[9])
redis.call('ZREM', KEYS[4], ARGV[1])
if ARGV[7] == '1' then
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('ZADD', KEYS[4], now, ARGV[1])
elseif ARGV[4] ~= '-1' then
  redis.call('ZADD', KEYS[3], now + ARGV[4], ARGV[1])
else
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[5])
  if ARGV[6] == '0' then redis.call('DEL', KEYS[2]) else redis.call('EXPIRE', KEYS[2], ARGV[6]) end
end
return 1
