"""Exports a stack to GitOps controllers; the modules of this package itself are pure, its subpackages are not."""
