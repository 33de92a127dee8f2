"""Decides whether an object is ready and, if not, why: rules, failures, contracts, waiting."""
