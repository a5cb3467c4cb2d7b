-- Stores ARGV[2] at KEYS[1] for ARGV[3] seconds if ARGV[1] is there. Answers 1 if it is there from now on.
local known = redis.call('GET', KEYS[1])
if known == ARGV[2] then return 1 end
if known ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
