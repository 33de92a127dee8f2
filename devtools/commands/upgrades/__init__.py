"""`invoke charts.upgrade`."""
