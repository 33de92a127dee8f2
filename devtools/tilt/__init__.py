"""Tilt: the specs document of the layers, the library that Tiltfiles load, and a harness to test Tiltfiles."""
