"""One module per family of commands, imported only when one of its commands is called."""
