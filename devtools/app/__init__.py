"""One module per verb that users type, and the wiring they share."""
