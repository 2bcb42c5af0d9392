KINDS = ("x", "y")
