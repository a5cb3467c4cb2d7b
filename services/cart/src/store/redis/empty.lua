-- Empties the cart the way upstream does: the key stays, its data becomes the empty message.
-- ARGV: new generation, seconds to live.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
return store('', '', '', '', ARGV[1], ARGV[2])
