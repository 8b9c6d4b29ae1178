"""What all screens share: a head, a body, a line for sentences, the keys; and that no error ends the reader."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from postoffice.errors import PostofficeError
from postoffice.tui.bars import Foot, Head, Said
from postoffice.tui.keys import Key
from postoffice.tui.page import Page

if TYPE_CHECKING:
    from postoffice.tui.app import Reader

S = TypeVar("S", bound="Face")


def told(action: Callable[[S], Awaitable[None]]) -> Callable[[S], Coroutine[Any, Any, None]]:
    """An action of a screen: the sentence of the last one goes, and what goes wrong is one in its place."""

    @wraps(action)
    async def tried(screen: S) -> None:
        screen.said.forget()
        try:
            await action(screen)
        except (PostofficeError, OSError) as error:
            screen.said.warn(str(error))

    return tried


class Face(Screen[None]):
    """A screen with `KEYS` in its foot and what `body` gives in its middle."""

    KEYS: ClassVar[tuple[Key, ...]] = ()
    LAST: ClassVar[Sequence[tuple[str, str]]] = (("?", "help"), ("q", "back"))
    """What its foot never lacks."""

    def __init__(self) -> None:
        super().__init__()
        self.head = Head()
        self.said = Said()
        self.foot = Foot(self.KEYS, self.LAST)

    def compose(self) -> ComposeResult:
        yield self.head
        yield from self.body()
        yield self.said
        yield self.foot

    def body(self) -> list[Widget]:
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While something is written, its keys are those of writing; but for the one that ends it."""
        return not isinstance(self.focused, Input) or action == "escape"

    @property
    def reader(self) -> Reader:
        return cast("Reader", self.app)

    def action_help(self) -> None:
        from postoffice.tui.help import Help

        self.app.push_screen(Help())

    async def action_back(self) -> None:
        self.app.pop_screen()

    async def action_escape(self) -> None:
        await self.action_back()

    def action_redraw(self) -> None:
        self.app.refresh(layout=True)


class Paged(Face):
    """A screen whose middle is a `Page` that keys scroll."""

    page: Page

    def body(self) -> list[Widget]:
        return [self.page]

    async def on_mount(self) -> None:
        self.set_focus(self.page)
        await self.begin()

    async def begin(self) -> None:
        """What else is to be done when the screen is there."""

    def action_down(self) -> None:
        self.page.scroll_lines_to(self.page.top + 1)

    def action_up(self) -> None:
        self.page.scroll_lines_to(self.page.top - 1)

    def action_turn_down(self) -> None:
        self.page.scroll_lines_to(self.page.top + self.page.page_lines - 1)

    def action_turn_up(self) -> None:
        self.page.scroll_lines_to(self.page.top - self.page.page_lines + 1)

    def action_first(self) -> None:
        self.page.scroll_lines_to(0)

    def action_last(self) -> None:
        self.page.scroll_lines_to(len(self.page.lines))
