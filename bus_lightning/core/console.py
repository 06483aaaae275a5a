"""The console for tables and coloured lines; it shows no character of a name that a terminal would act on."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from bus_lightning.core.printable import printable_lines


class PrintableConsole(Console):
    """A console of rich whose texts are printable, whichever table or line they are in."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render an object into segments; those of rich itself, which move the cursor, stay as they are."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable_lines(segment.text))
