local function current(entry)
  local generation = entry.observedGeneration or obj.status.observedGeneration
  return generation == nil or obj.metadata.generation == nil or generation >= obj.metadata.generation
end
