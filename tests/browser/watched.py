"""What a browser complains of while a test goes through its pages."""

from __future__ import annotations

from playwright.sync_api import ConsoleMessage, Page


class Watched:
    """Collects scripts that failed and policies that were broken."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)

    def _hear(self, message: ConsoleMessage) -> None:
        # A page that is refused says its status; that is what some tests are about.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)
