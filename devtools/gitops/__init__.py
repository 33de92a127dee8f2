"""Exports a stack to GitOps controllers; this package's own modules are pure, its subpackages are not."""
