"""One module per external tool: pure builders of commands and parsers of output; nothing runs here."""
