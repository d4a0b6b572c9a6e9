"""What the pickers of a run offer: repositories, branches and models of the server, and what is remembered of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QObject, Signal

from app.core.posthog.run_memory import SETTING, RepositoryKey, RunMemory
from app.core.posthog.run_options import BYPASS_SETTING, MODES, AgentModel, RunOptions, asking
from app.ui.widgets.paged_popup import ChoicesPage, PagedChoice

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from app.core.backend import Backend
    from app.core.errors import BurrowError
    from app.core.posthog.github import NamesPage
    from app.ui.bridge import Bridge
    from app.ui.settings import UiSettings

AGENTS = {"claude": "Claude", "codex": "Codex"}
# Between the agent and the model in the value of a choice. No model has it in its name.
SEPARATOR = "\n"


class RunChoices(QObject):
    """What runs of the current project can be started with, and what they were last started with.

    `connect_wanted` when the user wants to connect GitHub.
    """

    connect_wanted = Signal()

    def __init__(self, settings: UiSettings, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._settings, self.bridge = settings, bridge
        self.backend: Backend | None = None
        self._memory = RunMemory(settings)
        self.repositories: NameSource = RepositorySource(self)
        self.models = ModelSource(self)

    def start(self, backend: Backend | None) -> None:
        """Another account or project."""
        self.backend = backend if backend is not None and backend.project is not None else None
        self.repositories.clear()

    @property
    def bypass(self) -> bool:
        """Whether modes are offered in which an agent asks for nothing."""
        return self._settings.flag(BYPASS_SETTING)

    def withheld(self, mode: str) -> bool:
        """Whether a mode is not offered, however its agent names it."""
        from app.core.runs.local.mode_names import asks_nothing

        return asks_nothing(mode) and not self.bypass

    def branches(self) -> BranchSource:
        """Branches of one repository at a time."""
        return BranchSource(self)

    def last(self, repository: str | None, adapter: str = "") -> RunOptions:
        """What the last run of a repository was started with."""
        key = self._key(repository)
        found = RunOptions(adapter=adapter) if key is None else self._memory.last(key, adapter)
        return asking(found, bypass=self.bypass)

    def remember(self, repository: str | None, options: RunOptions) -> None:
        """A run was started with these."""
        key = self._key(repository)
        if key is not None:
            self._settings.put(SETTING, self._memory.with_last(key, options))

    def _key(self, repository: str | None) -> RepositoryKey | None:
        backend = self.backend
        if backend is None or backend.scope is None or backend.project is None:
            return None
        return RepositoryKey(backend.scope.host, backend.scope.account, backend.project.id, repository or "")


class NameSource:
    """Names that the server searches and pages. The first of them are kept for the next time."""

    refreshable = False

    def __init__(self, choices: RunChoices) -> None:
        self._choices = choices
        self._known: Sequence[PagedChoice] = ()

    def clear(self) -> None:
        """Forget what is known."""
        self._known = ()

    def known(self) -> Sequence[PagedChoice]:
        return self._known

    def ask(
        self,
        owner: QObject,
        search: str,
        offset: int,
        done: Callable[[ChoicesPage], object],
        failed: Callable[[str], object],
    ) -> None:
        backend = self._choices.backend
        if backend is None:
            failed(_tr("Not connected."))
            return

        def came(found: NamesPage) -> None:
            named = [PagedChoice(name, self._words(name, found)) for name in found.items]
            if not search and not offset:
                self._known = named
            done(self._page(named, found))

        self._choices.bridge.spawn(
            owner, self._find(backend, search, offset), done=came, failed=lambda error: failed(_cause(error)), key="ask"
        )

    def refresh(self, owner: QObject, done: Callable[[], object], failed: Callable[[str], object]) -> None:
        failed(_tr("This list cannot be refreshed."))

    def _find(self, backend: Backend, search: str, offset: int) -> Coroutine[Any, Any, NamesPage]:
        raise NotImplementedError

    def _page(self, named: Sequence[PagedChoice], found: NamesPage) -> ChoicesPage:
        return ChoicesPage(named, found.following)

    def _words(self, name: str, found: NamesPage) -> str:
        return _tr("{0} (default)").format(name) if name == found.default else name


class RepositorySource(NameSource):
    """The repositories that the person can use."""

    refreshable = True

    def _find(self, backend: Backend, search: str, offset: int) -> Coroutine[Any, Any, NamesPage]:
        return backend.github.repositories(search, offset)

    def _page(self, named: Sequence[PagedChoice], found: NamesPage) -> ChoicesPage:
        if found.connected:
            return super()._page(named, found)
        connect = _tr("Connect GitHub"), self._choices.connect_wanted.emit
        return ChoicesPage(named, found.following, _tr("Those that tasks name."), connect)

    def refresh(self, owner: QObject, done: Callable[[], object], failed: Callable[[str], object]) -> None:
        backend = self._choices.backend
        if backend is None:
            failed(_tr("Not connected."))
            return
        self._choices.bridge.spawn(
            owner,
            backend.github.refresh_repositories(),
            done=lambda _nothing: done(),
            failed=lambda error: failed(_cause(error)),
            key="ask",
        )


class BranchSource(NameSource):
    """The branches of `repository`."""

    repository = ""

    def set_repository(self, repository: str) -> None:
        """Offer the branches of this one from now on."""
        if repository != self.repository:
            self.repository = repository
            self.clear()

    def _find(self, backend: Backend, search: str, offset: int) -> Coroutine[Any, Any, NamesPage]:
        return backend.github.branches(self.repository, search, offset)


class ModelSource:
    """The models of the server. It lists all of them at once, so they are searched here."""

    refreshable = False

    def __init__(self, choices: RunChoices) -> None:
        self._choices = choices

    def model(self, value: str) -> AgentModel | None:
        """The model of a choice, None for one that is not known at the moment."""
        return next((each for each in self._models() if value_of(each.adapter, each.model) == value), None)

    def usual(self) -> str:
        """The agent that runs where no model is chosen, as far as that is known."""
        offered = {each.adapter for each in self._models()}
        return next((adapter for adapter in MODES if adapter in offered), next(iter(MODES)))

    def first(self) -> str:
        """The choice that a run without one gets; empty while it is not known."""
        usual = self.usual()
        found = next((each for each in self._models() if each.adapter == usual), None)
        return "" if found is None else value_of(found.adapter, found.model)

    def known(self) -> Sequence[PagedChoice]:
        return _listed(self._models())

    def load(self, owner: QObject, done: Callable[[], object]) -> None:
        """Ask which models there are; `done` is called once that is known. What fails is said by the picker."""
        backend = self._choices.backend
        if backend is not None:
            self._choices.bridge.spawn(
                owner, backend.models.list(), done=lambda _models: done(), failed=lambda _error: None, key="models"
            )

    def ask(
        self,
        owner: QObject,
        search: str,
        offset: int,
        done: Callable[[ChoicesPage], object],
        failed: Callable[[str], object],
    ) -> None:
        backend = self._choices.backend
        if backend is None:
            failed(_tr("Not connected."))
            return

        def came(models: tuple[AgentModel, ...]) -> None:
            if not models:
                failed(_tr("The server does not say which models there are. Type the name of one."))
                return
            words = search.casefold()
            done(ChoicesPage([each for each in _listed(models) if words in each.text.casefold()]))

        self._choices.bridge.spawn(
            owner, backend.models.list(), done=came, failed=lambda error: failed(_cause(error)), key="ask"
        )

    def refresh(self, owner: QObject, done: Callable[[], object], failed: Callable[[str], object]) -> None:
        failed(_tr("This list cannot be refreshed."))

    def _models(self) -> tuple[AgentModel, ...]:
        backend = self._choices.backend
        return () if backend is None else backend.models.known()


def value_of(adapter: str, model: str) -> str:
    """The value of the choice of a model; empty for none."""
    return f"{adapter}{SEPARATOR}{model}" if model else ""


def model_words(adapter: str, model: str, title: str = "") -> str:
    """A model as people read it."""
    agent = AGENTS.get(adapter, adapter)
    return f"{title or model} · {agent}" if agent else title or model


def _listed(models: Sequence[AgentModel]) -> list[PagedChoice]:
    return [
        PagedChoice(value_of(each.adapter, each.model), model_words(each.adapter, each.model, each.title))
        for each in models
    ]


def _cause(error: BurrowError) -> str:
    return error.cause


def _tr(text: str) -> str:
    return QCoreApplication.translate("RunChoices", text)
