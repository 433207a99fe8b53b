"""A vault in memory, in the place of `engine.vault`."""

from fenglin.model.secret import Secret

VALUE = "s3cr3t-9f3a71c2"


class FakeVault:
    """Opens every secret as `VALUE`, or raises what it is told to.

    Attributes:
        error: Raised; None for none.
        asked: (account, wanted) of each call.
    """

    def __init__(self, error=None):
        self.error = error
        self.asked = []

    async def open(self, account, wanted):
        self.asked.append((account, wanted))
        if self.error is not None:
            raise self.error
        return tuple((variable, Secret(VALUE)) for variable, _ in wanted)
