"""A served Heed for the tests of the pages."""

from tests.serving import served, shared

__all__ = ["served", "shared"]
