"""`invoke bootstrap` and its companions."""
