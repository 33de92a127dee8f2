"""Doing it: events, facts, the engine, contracts and smoke tests."""
