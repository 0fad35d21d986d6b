"""What every command stands in: the settings it works on, the way it ends, JSON, logs. Only click is imported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crm_core.errors import Cancelled, ConfigurationFault, CounterfoilError, did_you_mean

if TYPE_CHECKING:
    from crm_core.ids import EntityType
    from sync_jobs.bootstrap import Hub
    from sync_jobs.settings import Settings

EXIT_SUCCEEDED = 0
EXIT_PARTIAL = 1
"""The command did its work, but some records were set aside, or a check or an example failed."""
EXIT_UNEXPECTED = 70
EXIT_INTERRUPTED = Cancelled.exit_code

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Frame:
    """The global options of one call, and what they lead to."""

    config: Path | None = None
    is_debugging: bool = False
    log: str | None = None

    def file(self) -> Path:
        """The configuration file. Raises ConfigurationFault."""
        from sync_jobs.settings import find_file

        return self.config or find_file()

    def settings(self) -> Settings:
        """The settings, read and checked. Raises ConfigurationFault."""
        from sync_jobs.settings import load_settings

        return load_settings(self.file())

    def hub(self) -> Hub:
        """The settings and the database that they name. Raises ConfigurationFault or StoreFault."""
        from sync_jobs.bootstrap import open_hub
        from sync_jobs.tracing import switch_on_where_asked

        switch_on_where_asked()
        return open_hub(self.file())


pass_frame = click.make_pass_decorator(Frame, ensure=True)


class SuggestingGroup(click.Group):
    """A group of commands that names the nearest one for a command that is not there."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if args and not name.startswith("-") and self.get_command(ctx, name) is None:
            raise click.UsageError(f"there is no command {name!r}{did_you_mean(name, self.list_commands(ctx))}", ctx)
        return super().resolve_command(ctx, args)


class GuardedGroup(SuggestingGroup):
    """The outermost group: whatever a command raises ends as one line on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CounterfoilError as error:
            _tell_traceback(ctx)
            _complain(ctx, str(error), error.exit_code)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            note(_log_of(ctx), "stopped; the checkpoint is kept")
            ctx.exit(EXIT_INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:  # noqa: BLE001 - the last net: nobody but a developer wants a traceback
            if not _tell_traceback(ctx):
                text = (
                    f"unexpected {type(error).__name__}: {redacted(str(error))}"
                    " (this is a fault of Counterfoil; `counterfoil --debug ...` shows where)"
                )
                _complain(ctx, text, EXIT_UNEXPECTED)
            ctx.exit(EXIT_UNEXPECTED)


def complain(text: str) -> None:
    """One line on stderr."""
    from terminal.tables import printable

    click.echo(f"{click.style('error:', fg='red')} {printable(text)}", err=True)


def note(log: Any, text: str) -> None:
    """Something that a person should read, beside what a command is asked for: an event where there is a log."""
    if log is not None:
        log.info("note", text=text)
    else:
        click.echo(text, err=True)


def _complain(ctx: click.Context, text: str, exit_code: int) -> None:
    log = _log_of(ctx)
    if log is None:
        complain(text)
    else:
        log.error("command_failed", command=ctx.invoked_subcommand, error=text, exit_code=exit_code)


def _log_of(ctx: click.Context) -> Any:
    frame = ctx.find_object(Frame)
    return configure_logs(frame.log) if frame is not None and frame.log else None


def redacted(text: str) -> str:
    """Without secrets and personal data, in one line."""
    from connectors.transport.redaction import redact

    return " ".join(redact(text).split())


def _tell_traceback(ctx: click.Context) -> bool:
    frame = ctx.find_object(Frame)
    if frame is None or not frame.is_debugging:
        return False
    import traceback

    from connectors.transport.redaction import redact

    click.echo(redact(traceback.format_exc()), err=True)
    return True


# -- JSON -------------------------------------------------------------------------------------------------------------


def json_option(command: F) -> F:
    """`--json`: stdout is one JSON document and nothing else."""
    made: F = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(command)
    return made


def emit(value: Any) -> None:
    """One JSON document: decimals as text (no reader makes a float of them), instants in ISO 8601."""
    import msgspec

    encoded = msgspec.json.encode(value, enc_hook=_as_plain)
    click.echo(msgspec.json.format(encoded, indent=2).decode())


def _as_plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def payload_as_data(payload: bytes) -> Any:
    """A back office's record as it is, digit by digit; text when it is no JSON."""
    import msgspec

    try:
        msgspec.json.decode(payload, type=msgspec.Raw)
        msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return payload.decode("utf-8", "replace")
    return msgspec.Raw(payload)


# -- choosing ---------------------------------------------------------------------------------------------------------


def entity_named(name: str) -> EntityType:
    """`price-list`, `price_list`, `price-lists`. Raises ConfigurationFault that names the nearest one."""
    from crm_core.ids import EntityType

    plain_name = name.replace("-", "_").lower()
    known = [entity.value for entity in EntityType]
    for candidate in (plain_name, plain_name.removesuffix("s"), f"{plain_name}_level"):
        if candidate in known:
            return EntityType(candidate)
    raise ConfigurationFault(f"there is no entity {name!r}{did_you_mean(plain_name, known)}")


def chosen_job(settings: Settings, name: str | None) -> str:
    """The job of that name, or the only one. Raises ConfigurationFault that lists them."""
    if name is not None:
        return settings.get_job(name).name
    jobs = settings.taking_jobs
    if len(jobs) == 1:
        return next(iter(jobs))
    if not jobs:
        raise ConfigurationFault(f"{settings.file.name} has no connection yet; see `counterfoil connectors`")
    raise ConfigurationFault(f"say which job: {', '.join(jobs)}")


def chosen_connections(settings: Settings, name: str | None) -> list[str]:
    """The connection of that name, or all."""
    return [settings.get_connection(name).name] if name is not None else list(settings.connections)


def chosen_connection(settings: Settings, name: str | None) -> str:
    """The connection of that name, or the only one. Raises ConfigurationFault that lists them."""
    found: Sequence[str] = chosen_connections(settings, name)
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigurationFault(f"{settings.file.name} has no connection yet; see `counterfoil connectors`")
    raise ConfigurationFault(f"say which connection: --connection {' | '.join(found)}")


# -- logs -------------------------------------------------------------------------------------------------------------


def configure_logs(style: str, *, is_quiet: bool = False) -> Any:
    """A structlog logger: one event, one redacted line on stderr, `json` or key=value. Libraries' warnings go along.

    is_quiet: of our own modules, too, only what is wrong.
    """
    import logging

    import structlog

    from connectors.transport.redaction import RedactingFilter, redact_event

    timestamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    last = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"])
    )
    shared: list[Any] = [structlog.processors.add_log_level, timestamp, structlog.processors.format_exc_info]
    # our own modules below the terminal log by the standard library, with the same keys as `extra`
    foreign = [structlog.stdlib.ExtraAdder(), *shared]
    structlog.configure(
        processors=[*shared, redact_event, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RedactingFilter())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=foreign,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact_event, last],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("http", "live", "jobs", "alerts"):
        logging.getLogger(f"counterfoil.{name}").setLevel(logging.WARNING if is_quiet else logging.INFO)
    return structlog.get_logger("counterfoil")
