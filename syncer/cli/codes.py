"""The exit codes that the outside world knows; 0 is that all is well."""

from typing import Final

EXIT_INCOMPLETE: Final = 1
EXIT_USAGE: Final = 2
EXIT_DATABASE: Final = 3
