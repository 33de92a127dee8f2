"""Facts in, plan out: graph, selection, plan, overrides. Pure."""
