"""The objects that the parts of one run share: session, slots, durations."""
