if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    if condition.type == @TYPE@ and current(condition) then
      hs.message = condition.message or ""
      if condition.status == "True" then
        hs.status = "Healthy"
      elseif condition.status == "False" and refused[condition.reason] then
        hs.status = "Degraded"
      end
    end
  end
end
