"""The allocator is settled where the C library can be, and nothing breaks where it cannot."""

import ctypes

from fenglin.bootstrap import allocator


class Library:
    """A C library that knows `mallopt`."""

    def __init__(self):
        self.told = []

    def mallopt(self, name, value):
        self.told.append((name, value))
        return 1


def test_all_settings_are_told(monkeypatch):
    library = Library()
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: library)
    assert allocator.give_back()
    assert tuple(library.told) == allocator.SETTINGS


def test_a_library_without_them_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert not allocator.give_back()
