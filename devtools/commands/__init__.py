"""The verbs that users type: one module each."""
