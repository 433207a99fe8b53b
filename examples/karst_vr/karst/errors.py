"""The one exception that the commands turn into a plain message and exit status 2."""


class KarstError(Exception):
    """Something foreseeable is wrong with the inputs, the files or the renderer."""
