"""The command line. Thin: each command reads settings, makes one call and prints the answer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from app.clock import wall_now
from app.errors import HeedError
from app.history import HistoryError
from app.local_server import ServerDidNotStart, client_of
from app.own_server import ServerRefused, own_heed
from app.security import Scope
from app.settings import Settings, SettingsError, load_settings
from app.store.database import Database
from app.store.migrate import is_current, upgrade
from app.store.tables import Token
from app.store.tokens import issue, list_all, revoke

if TYPE_CHECKING:
    from app.backtest import BacktestSummary
    from app.pipeline.assess import Report

app = typer.Typer(
    help="Heed: alerts that learn from the people who read them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
tokens = typer.Typer(help="Bearer tokens: who may post points, read, label, administer.", no_args_is_help=True)
app.add_typer(tokens, name="token")
events = typer.Typer(help="Known happenings, once or recurring.", no_args_is_help=True)
app.add_typer(events, name="events")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")]
Country = Annotated[
    str | None, typer.Option(help="Whose public holidays count, such as DE or DE-BY. Instead of HEED_COUNTRY.")
]
CountedIn = Annotated[
    str | None,
    typer.Option(help="Zone in which days are counted, and of timestamps that name none. Instead of HEED_TIMEZONE."),
]
Url = Annotated[str | None, typer.Option(help="A Heed elsewhere. Needs --token.", envvar="HEED_URL")]
TOKEN_VARIABLES = ["HEED_TOKEN", "TOKEN"]
PROGRESS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
Files = Annotated[list[Path], typer.Argument(help="CSV files.", exists=True, dir_okay=False, readable=True)]


class UsageError(Exception):
    """What was asked for can't be done; the text says the cure."""


def main() -> None:
    """The `heed` command: errors are one sentence with the cure, never a traceback."""
    try:
        app()
    except (SettingsError, HistoryError, ServerRefused, ServerDidNotStart, UsageError, HeedError) as error:
        print(f"heed: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"heed: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)


@app.command()
def serve() -> None:
    """Everything in one process: API, scoring, alerts, jobs. Brings the database up to date first."""
    from app.main import serve as serve_until_stopped

    serve_until_stopped(load_settings())


@app.command()
def migrate() -> None:
    """Bring the database up to date with this release."""
    with _database(load_settings(), migrated=False) as database:
        upgrade(database)
    Console(stderr=True).print("The database is up to date.")


@app.command("import")
def import_history(
    files: Files,
    metric: Annotated[str | None, typer.Option(help="What the values are, where a file has no column for it.")] = None,
    dimension: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, added to every series. Repeat.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Zone of timestamps that name none, such as UTC.")] = None,
    url: Url = None,
    token: Annotated[str | None, typer.Option(help="Its token, of scope ops.", envvar=TOKEN_VARIABLES)] = None,
    as_json: Json = False,
) -> None:
    """Bring in history from CSV files in silence, and learn from it at once: no two weeks of warm-up.

    A file has a header with `timestamp` and `value`, perhaps `metric`; all other columns are dimensions. Without --url
    the points go to the Heed of these settings: the running one, or one that is started just for this.
    """
    from app.history import read_history
    from app.importing import run_import

    history = read_history(files, metric=metric, dimensions=_pairs(dimension or []), zone=_zone(timezone))
    console = Console(stderr=True)
    with _heed_at(url, token, console, caller="heed import", scope=Scope.OPS) as client:
        report = run_import(client, history, console)
    if as_json:
        print(json.dumps(asdict(report)))
    else:
        print(f"{report.series} series: {report.accepted} points taken in, {report.duplicates} were there already.")
    if report.rejected:
        raise UsageError(f"{report.rejected} points were refused: {'; '.join(report.reasons)}")


@app.command("apply")
def apply_file(
    file: Annotated[
        Path, typer.Option("--file", "-f", help="What Heed should be like.", exists=True, dir_okay=False, readable=True)
    ] = Path("heed.yaml"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="What was made by hand goes, too, but for events.")] = False,
    url: Url = None,
    token: Annotated[str | None, typer.Option(help="Its token, of scope admin.", envvar=TOKEN_VARIABLES)] = None,
    as_json: Json = False,
) -> None:
    """Bring policies, channels, silences, events, calendars and flags in line with a heed.yaml: all of it or nothing.

    Applied again it changes nothing. What the file made before and no longer has is removed; what was made by hand
    stays. `${NAME}` in the file stands for a variable of the environment. Without --url it goes to the Heed of these
    settings: the running one, or one that is started just for this.
    """
    from app.applying import in_words, send
    from app.heed_file import read_file

    wanted = read_file(file, os.environ)
    with _heed_at(url, token, Console(stderr=True), caller="heed apply", scope=Scope.ADMIN) as client:
        answer = send(client, wanted, dry_run=dry_run, prune=prune)
    print(json.dumps(answer) if as_json else in_words(answer, dry_run=dry_run))


@app.command("backtest")
def backtest_files(
    files: Files,
    output: Annotated[Path | None, typer.Option(help="Folder for a judged copy of each file.", file_okay=False)] = None,
    train_until: Annotated[str | None, typer.Option(help="Time up to which points are only learned from.")] = None,
    train_fraction: Annotated[float | None, typer.Option(help="The same as a share of the rows, 0 to 1.")] = None,
    alerts_per_week: Annotated[float | None, typer.Option(help="Instead of HEED_ALERTS_PER_WEEK.")] = None,
    timezone: CountedIn = None,
    country: Country = None,
    as_json: Json = False,
) -> None:
    """What Heed would have said about recorded series: each row judged from it and earlier ones only.

    A file has the columns `timestamp,value` and perhaps `label` (1 where something was really wrong). With --output
    each gets a file of `timestamp,value,expected,lower,upper,rarity_weeks,anomalous,alert`.
    """
    from app.backtest import backtest

    settings = load_settings()
    console = Console(stderr=True)
    with Progress(*PROGRESS, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("judging", total=None)
        summary = backtest(
            files,
            output,
            alerts_per_week=settings.alerts_per_week if alerts_per_week is None else alerts_per_week,
            timezone=str(_zone(timezone) or settings.timezone),
            country=_country(country) or settings.country or "",
            train_until=_unix_seconds(train_until, _zone(timezone) or ZoneInfo(settings.timezone)),
            train_fraction=_fraction(train_fraction),
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        print(json.dumps(asdict(summary), default=str))
    else:
        Console().print(_backtest_table(summary))


@app.command("assess")
def assess_files(
    files: Files,
    output: Annotated[
        Path | None, typer.Option(help="Folder for a page with pictures a file.", file_okay=False)
    ] = None,
    alerts_per_week: Annotated[float | None, typer.Option(help="Instead of HEED_ALERTS_PER_WEEK.")] = None,
    timezone: CountedIn = None,
    country: Country = None,
    as_json: Json = False,
) -> None:
    """Is it worth watching? What changes would be seen, and how many alerts to expect, from history alone.

    A file has the columns `timestamp,value`, as for `heed backtest`; `metric` and all other columns tell series
    apart, as for `heed import`. With --output each series gets a page with pictures.
    """
    from app.assessing import answers, read_pasts, write_pages
    from app.pipeline.assess import assess_pasts

    settings = load_settings()
    console = Console(stderr=True)
    budget = _budget(alerts_per_week) or settings.alerts_per_week
    pasts, faults = read_pasts(
        files,
        timezone=str(_zone(timezone) or settings.timezone),
        country=_country(country) or settings.country or "",
    )
    with console.status("assessing") if console.is_terminal else nullcontext():
        reports = assess_pasts(pasts, alerts_per_week=budget)
    pages = write_pages(reports, output) if output else []
    if as_json:
        print(json.dumps(answers(reports, alerts_per_week=budget)))
    else:
        for report in reports:
            _print_assessment(Console(), report)
    for page in pages:
        console.print(f"written: {escape(str(page))}", highlight=False, soft_wrap=True)
    if faults:
        raise UsageError("\n".join(map(str, faults)))


def _country(name: str | None) -> str | None:
    from detectors.days import UnknownCountryError, check_country

    try:
        return check_country(name) if name else None
    except UnknownCountryError as error:
        raise UsageError(f"{error}.") from None


def _budget(alerts_per_week: float | None) -> float | None:
    if alerts_per_week is not None and not 0 < alerts_per_week <= 100:
        raise UsageError("Alerts a week are a number above 0, up to 100, such as 0.25.")
    return alerts_per_week


@app.command()
def demo(
    leave: Annotated[bool, typer.Option("--exit", help="End after the replay; without a terminal it does so.")] = False,
    seed: Annotated[int, typer.Option(help="Another seed is another shop.")] = 1,
) -> None:
    """Ten weeks of a simulated shop in under a minute, with a story in it and a button to press."""
    from app.demo.replay import run_demo

    stays = sys.stdin.isatty() and not leave
    run_demo(Console(), now=wall_now(), seed=seed, pause=_is_enter_pressed if stays else None)


def _is_enter_pressed() -> bool:
    try:
        input()
    except (EOFError, KeyboardInterrupt):
        return False
    return True


@tokens.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="Who will use it, such as checkout-service.")],
    scope: Annotated[Scope, typer.Option(help="Each scope includes those before it.")] = Scope.INGEST,
    as_json: Json = False,
) -> None:
    """Make a token and print it, once: only its hash is kept."""
    settings = load_settings()
    with _database(settings) as database, database.writing() as session:
        limit = settings.new_series_per_token
        row, token = issue(session, name=name, scope=scope, new_series_limit=limit, now=wall_now())
        made = {"id": row.id, "name": row.name, "scope": row.scope, "token": token}
    print(json.dumps(made) if as_json else token)


@tokens.command("list")
def list_tokens(as_json: Json = False) -> None:
    """All tokens, the revoked ones too; never the secret itself."""
    with _database(load_settings()) as database, database.reading() as session:
        rows = [_describe(token) for token in list_all(session)]
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("id", "name", "scope", "created", "revoked", box=None)
    for row in rows:
        table.add_row(*(str(value) if value is not None else "" for value in row.values()))
    Console().print(table)


@tokens.command("revoke")
def revoke_token(token_id: Annotated[int, typer.Argument(metavar="ID", help="As `heed token list` shows it.")]) -> None:
    """Make a token invalid from now on."""
    with _database(load_settings()) as database, database.writing() as session:
        if revoke(session, token_id, wall_now()) is None:
            raise UsageError("There is no token of this id: see `heed token list`.")
    print("Revoked.")


@events.command("import")
def import_events(
    file: Annotated[Path, typer.Argument(help="An .ics file.", exists=True, dir_okay=False, readable=True)],
    calendar: Annotated[str | None, typer.Option(help="Its name here; the file's, if left out.")] = None,
    metric: Annotated[str, typer.Option(help="Series it is about; * stands for anything.")] = "*",
    dimension: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, to narrow them. Repeat.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Zone of times that name none.")] = None,
    url: Url = None,
    token: Annotated[str | None, typer.Option(help="Its token, of scope analyst.", envvar=TOKEN_VARIABLES)] = None,
    as_json: Json = False,
) -> None:
    """Take in the events of a calendar, with every recurrence. Imported again it is brought up to date."""
    from app.importing import send_calendar

    pairs = [f"{name}:{value}" for name, value in _pairs(dimension or []).items()]
    about: dict[str, str | list[str]] = {"calendar": calendar or file.stem, "metric": metric, "dimension": pairs}
    if zone := _zone(timezone):
        about["timezone"] = str(zone)
    with _heed_at(url, token, Console(stderr=True), caller="heed import", scope=Scope.OPS) as client:
        answer = send_calendar(client, file.read_bytes(), about)
    if as_json:
        print(json.dumps(answer))
        return
    print(f"{answer['events']} new events, {answer['unchanged']} as before, {answer['taken_back']} taken back.")
    if answer["stay_deleted"]:
        print(f"{answer['stay_deleted']} stay deleted, as somebody deleted them in Heed.")
    for refused in answer["rejected"]:
        print(f"“{refused['name']}” (event {refused['index'] + 1}) was left out. {refused['reason']}", file=sys.stderr)


def _heed_at(
    url: str | None, token: str | None, console: Console, *, caller: str, scope: Scope
) -> AbstractContextManager[httpx.Client]:
    """Speaks to the Heed at `url`, or to that of these settings."""
    if url:
        return client_of(url, _given(token))
    return own_heed(load_settings(), console, caller=caller, scope=scope)


@contextmanager
def _database(settings: Settings, *, migrated: bool = True) -> Iterator[Database]:
    database = Database(settings.database_url.get_secret_value())
    try:
        if migrated and not is_current(database):
            raise UsageError("The database is not up to date with this release: run `heed migrate`.")
        yield database
    finally:
        database.close()


def _describe(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scope": token.scope,
        "created_at": token.created_at.isoformat(),
        "revoked_at": token.revoked_at and token.revoked_at.isoformat(),
    }


def _print_assessment(console: Console, report: Report) -> None:
    from app.alerts.wording import name_in_words
    from app.web.assessment import alerts_in_words, budget_in_words, change_in_words, facts

    one, metric = report.assessment, report.past.metric
    console.print(
        f"[bold]{escape(name_in_words(metric, report.past.dimensions))}[/bold]: {one.recommendation}", highlight=False
    )
    table = Table(box=None, show_header=False, pad_edge=False)
    for fact in facts(report):
        table.add_row(fact.name, fact.text)
    for change in one.smallest:
        within = "1 point" if change.within_points == 1 else f"{change.within_points} points"
        table.add_row(f"Smallest {change.kind} seen within {within}", change_in_words(change, metric))
    for each in one.alerts:
        table.add_row(f"Alerts at {budget_in_words(each.budget)}", alerts_in_words(each))
    console.print(table, highlight=False)
    console.print()


def _backtest_table(summary: BacktestSummary) -> Table:
    table = Table("file", "points", "judged weeks", "alerts", "a week", "found", "false alarms", "remarks", box=None)
    for one in summary.tables:
        verified = one.verified
        found = (f"{verified.found} of {verified.segments}", str(verified.false_alarms)) if verified else ("", "")
        table.add_row(
            one.path.name,
            f"{one.points:,}",
            f"{one.judged_weeks:.1f}",
            str(one.alerts),
            f"{one.alerts_per_week:.2f}",
            *found,
            "; ".join(one.remarks),
        )
    return table


def _unix_seconds(moment: str | None, zone: tzinfo) -> int | None:
    """A time as the files of a backtest may write it: unix seconds or RFC 3339, of this zone where it names none."""
    from app.formats.cells import unix_seconds

    try:
        return None if moment is None else unix_seconds(moment, zone)
    except ValueError as fault:
        raise UsageError(f"--train-until: {fault}.") from None


def _fraction(share: float | None) -> float | None:
    if share is not None and not 0 <= share < 1:
        raise UsageError("The fraction to train on must be at least 0 and less than 1, such as 0.5.")
    return share


def _pairs(given: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE options as a mapping."""
    pairs = dict(option.split("=", 1) for option in given if "=" in option)
    if len(pairs) != len(given):
        raise UsageError("A dimension is given as NAME=VALUE, such as --dimension country=DE, and once.")
    return pairs


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        raise UsageError("There is no time zone of this name: give an IANA name such as Europe/Berlin.") from None


def _given(token: str | None) -> str:
    if not token:
        raise UsageError("A Heed elsewhere needs --token, or HEED_TOKEN: make one there with `heed token`.")
    return token


if __name__ == "__main__":
    main()
