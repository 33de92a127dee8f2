"""Tilt: what it is told about the layers, the library that Tiltfiles load, and a harness that tests Tiltfiles."""
