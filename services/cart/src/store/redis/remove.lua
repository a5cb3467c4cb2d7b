-- Takes quantities of products out, in one step; what is not there is not missed.
-- ARGV: key, fingerprint, new generation, seconds to live, and a product id and a quantity of each line.
-- Answers 0, or 3 for data that is no cart, 4 for a key of another change; and the generation and the number of changes.

local function answer(code)
  return {code, redis.call('HGET', KEYS[1], 'gen') or '', redis.call('HGET', KEYS[1], 'ver') or ''}
end
local data = redis.call('HGET', KEYS[1], 'data')
if not data then return answer(0) end
local was = seen('removed', ARGV[1], ARGV[2])
if was > 0 then return answer(was % 5) end

local wanted = {}
for i = 5, #ARGV, 2 do wanted[ARGV[i]] = (wanted[ARGV[i]] or 0) + tonumber(ARGV[i + 1]) end

-- Everything else stays as it is stored.
local kept, at = {}, 1
while at <= #data do
  local first = at
  local number, line
  number, line, at = field(data, at)
  if not number then return answer(3) end
  local piece = sub(data, first, at - 1)
  if number == 2 then
    local id, count = item(line)
    if not id then return answer(3) end
    local taken = math.min(wanted[id] or 0, count)
    if taken > 0 then
      wanted[id] = wanted[id] - taken
      piece = count > taken and put_item(id, count - taken) or ''
    end
  end
  kept[#kept + 1] = piece
end
return answer(store(table.concat(kept), 'removed', ARGV[1], ARGV[2], ARGV[3], ARGV[4]))
