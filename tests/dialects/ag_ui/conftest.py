"""What tests of AG-UI begin with: companions, and runs that wait for somebody."""

from tests.chat.conftest import devops, say, step

__all__ = ["devops", "say", "step"]
