-- Answers the stuck orders of KEYS[1], the longest known first: of each its revision and its data.
-- ARGV: the prefix of orders, how many.
local found = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, ARGV[2] - 1)) do
  local data = redis.pcall('HGET', ARGV[1] .. id, 'data')
  local rev = type(data) == 'string' and tonumber(redis.call('HGET', ARGV[1] .. id, 'rev'))
  if rev then found[#found + 1] = {rev, data} end
end
return found
