-- Adds a quantity of a product, in one step. Lines of the product that another writer left twice are merged.
-- ARGV: key, fingerprint, new generation, seconds to live, user id, product id, quantity, most lines, most pieces in a
-- line. Answers 0 (or -1 if the cart was empty), or 1 for a full line, 2 for a full cart, 3 for data that is no cart, 4 for a key of another change.

local was = seen('added', ARGV[1], ARGV[2])
if was > 0 then return was % 5 end

-- Everything else stays as it is stored.
local data = redis.call('HGET', KEYS[1], 'data') or ''
local product, quantity = ARGV[6], tonumber(ARGV[7])
local lines, start, stop, has_user, at = 0, nil, nil, false, 1
while at <= #data do
  local first = at
  local number, line
  number, line, at = field(data, at)
  if not number then return 3 end
  if number == 1 then has_user = true end
  if number == 2 then
    local id, count = item(line, product)
    if not id then return 3 end
    lines = lines + 1
    if id == product then
      quantity = quantity + count
      if start then
        data, at = sub(data, 1, first - 1) .. sub(data, at), first
      else
        start, stop = first, at
      end
    end
  end
end

if not start then
  if lines >= tonumber(ARGV[8]) then return 2 end
  start, stop = #data + 1, #data + 1
end
if quantity > tonumber(ARGV[9]) then return 1 end

data = sub(data, 1, start - 1) .. put_item(product, quantity) .. sub(data, stop)
-- Upstream forgets whose cart it is when it empties one.
if not has_user then data = '\10' .. put_varint(#ARGV[5]) .. ARGV[5] .. data end
store(data, 'added', ARGV[1], ARGV[2], ARGV[3], ARGV[4])
return lines == 0 and -1 or 0
