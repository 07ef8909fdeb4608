"""`HttpMethods`: the methods of HTTP as methods of a client, as httpx names them."""

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

ResponseT = TypeVar("ResponseT")


class HttpMethods(ABC, Generic[ResponseT]):
    """Sends requests that open no stream, and waits for the whole response.

    `ResponseT` is what `request` returns: a response, or a coroutine that returns it.
    """

    @abstractmethod
    def request(self, method: str, url: str, **request: Any) -> ResponseT:
        """Send a request and return its response."""

    def get(self, url: str, **request: Any) -> ResponseT:
        """As `request` with ``GET``."""
        return self.request("GET", url, **request)

    def options(self, url: str, **request: Any) -> ResponseT:
        """As `request` with ``OPTIONS``."""
        return self.request("OPTIONS", url, **request)

    def head(self, url: str, **request: Any) -> ResponseT:
        """As `request` with ``HEAD``."""
        return self.request("HEAD", url, **request)

    def post(self, url: str, **request: Any) -> ResponseT:
        """As `request` with ``POST``."""
        return self.request("POST", url, **request)

    def put(self, url: str, **request: Any) -> ResponseT:
        """As `request` with ``PUT``."""
        return self.request("PUT", url, **request)

    def patch(self, url: str, **request: Any) -> ResponseT:
        """As `request` with ``PATCH``."""
        return self.request("PATCH", url, **request)

    def delete(self, url: str, **request: Any) -> ResponseT:
        """As `request` with ``DELETE``."""
        return self.request("DELETE", url, **request)
