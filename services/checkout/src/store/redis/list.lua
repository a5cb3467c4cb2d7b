-- Answers the orders whose ids are at KEYS[1], in their order: of each its revision and its data.
-- ARGV: the prefix of orders, how many, the command that reads the ids.
local found = {}
for _, id in ipairs(redis.call(ARGV[3], KEYS[1], 0, ARGV[2] - 1)) do
  local data = redis.pcall('HGET', ARGV[1] .. id, 'data')
  local rev = type(data) == 'string' and tonumber(redis.call('HGET', ARGV[1] .. id, 'rev'))
  if rev then found[#found + 1] = {rev, data} end
end
return found
