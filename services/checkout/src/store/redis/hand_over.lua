-- Makes those of the open orders at KEYS[1] due at once that ARGV names.
for _, id in ipairs(ARGV) do redis.call('ZADD', KEYS[1], 'XX', 0, id) end
