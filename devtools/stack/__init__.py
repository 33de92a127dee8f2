"""What is declared, and what a run will do: pure, nothing here runs or connects to anything."""
