-- Stores ARGV[1] at KEYS[1] for ARGV[2] seconds, unless there is something. Answers what there was.
local known = redis.call('GET', KEYS[1])
if not known then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end
return known
