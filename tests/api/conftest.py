"""A served Heed for the tests of the API."""

from tests.serving import served, shared

__all__ = ["served", "shared"]
