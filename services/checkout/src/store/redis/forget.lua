-- Removes an order and its key. Answers 0 if somebody else has changed it.
-- KEYS: the order, its key, the open orders, the user's list. ARGV: id, revision.
local rev = redis.call('HGET', KEYS[1], 'rev')
if not rev then return 1 end
if rev ~= ARGV[2] then return 0 end
-- What is no list and no set fails here, before anything is written.
redis.call('ZCARD', KEYS[3])
redis.call('LLEN', KEYS[4])
redis.call('DEL', KEYS[1])
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('LREM', KEYS[4], 1, ARGV[1])
return 1
