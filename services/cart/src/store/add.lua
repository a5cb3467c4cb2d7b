-- Adds a quantity of a product to the cart at KEYS[1], in one step and on upstream's layout: a hash
-- whose field data holds the protobuf message hipstershop.Cart. The field ver is ours; it only
-- grows. Lines that another writer left twice are merged.
-- ARGV: user id, product id, quantity, seconds to live, most lines, most pieces in a line.
-- Answers 0, or 1 for a full line, 2 for a full cart, 3 for data that is no cart.

local user, product, quantity = ARGV[1], ARGV[2], tonumber(ARGV[3])

-- A varint at `at` and where it ends. 32 bits are enough: numbers here are lengths and int32.
local function varint(s, at)
  local value, scale = 0, 1
  for i = at, at + 9 do
    local byte = string.byte(s, i)
    if not byte then return nil end
    if scale < 2 ^ 35 then value = value + (byte % 128) * scale end
    scale = scale * 128
    if byte < 128 then return value % 2 ^ 32, i + 1 end
  end
  return nil
end

-- Calls `each(number, value)` for every field of a message: bytes as a string, a varint as a
-- number. Answers whether the message was well formed.
local function fields(s, each)
  local at = 1
  while at <= #s do
    local tag, value
    tag, at = varint(s, at)
    if not tag then return false end
    local kind = tag % 8
    if kind == 0 then
      value, at = varint(s, at)
      if not value then return false end
    elseif kind == 2 then
      local length
      length, at = varint(s, at)
      if not length or at + length - 1 > #s then return false end
      value, at = string.sub(s, at, at + length - 1), at + length
    else
      return false
    end
    each((tag - kind) / 8, value)
  end
  return true
end

local function put_varint(value)
  local bytes = {}
  while value >= 128 do
    bytes[#bytes + 1] = string.char(128 + value % 128)
    value = math.floor(value / 128)
  end
  bytes[#bytes + 1] = string.char(value)
  return table.concat(bytes)
end

local function put_bytes(tag, s)
  return string.char(tag) .. put_varint(#s) .. s
end

-- An int32 as protobuf writes it: a negative one takes ten bytes.
local function put_int32(value)
  if value >= 0 then return put_varint(value) end
  local low = put_varint(2 ^ 32 + value)
  local last = string.byte(low, 5)
  return string.sub(low, 1, 4) .. string.char(last + 240) .. string.rep('\255', 4) .. '\1'
end

local order, quantities, whole = {}, {}, true
local function line(id, count)
  if not quantities[id] then
    order[#order + 1] = id
    quantities[id] = 0
  end
  quantities[id] = quantities[id] + count
end

local data = redis.call('HGET', KEYS[1], 'data') or ''
local is_cart = fields(data, function(number, value)
  if number ~= 2 then return end
  local id, count = '', 0
  whole = type(value) == 'string' and fields(value, function(inner, v)
    if inner == 1 then id = v elseif inner == 2 then count = v end
  end) and type(id) == 'string' and type(count) == 'number' and whole
  if not whole then return end
  if count >= 2 ^ 31 then count = count - 2 ^ 32 end
  line(id, count)
end)
if not (is_cart and whole) then return 3 end

if not quantities[product] and #order >= tonumber(ARGV[5]) then return 2 end
line(product, quantity)
if quantities[product] > tonumber(ARGV[6]) then return 1 end

local parts = { put_bytes(10, user) }
for _, id in ipairs(order) do
  local item = put_bytes(10, id)
  if quantities[id] ~= 0 then item = item .. '\16' .. put_int32(quantities[id]) end
  parts[#parts + 1] = put_bytes(18, item)
end
redis.call('HSET', KEYS[1], 'absexp', '-1', 'sldexp', '-1', 'data', table.concat(parts))
redis.call('HINCRBY', KEYS[1], 'ver', 1)
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 0
