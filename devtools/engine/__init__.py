"""Carries out a plan: a DAG on threads, steps, outcomes."""
