-- Empties the cart at KEYS[1] the way upstream does: the key stays, its data becomes the empty
-- message. ARGV: seconds to live.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'absexp', '-1', 'sldexp', '-1', 'data', '')
redis.call('HINCRBY', KEYS[1], 'ver', 1)
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 0
