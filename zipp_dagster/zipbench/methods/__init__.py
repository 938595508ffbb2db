"""The methods that ZIPBench compares: one file each, one line each in `registry.METHODS`.

What a method is made of is in `base`; running the prompt steps is in `run`. `docs/add-a-method.md` shows how
to add one.
"""
