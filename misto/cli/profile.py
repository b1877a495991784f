"""`misto profile`: device profiles are drafted, tested, listed and shown."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from catalogue.errors import FileProblems, Problem
from catalogue.metrics import metrics
from catalogue.yamlfile import Document
from ingest.envelopes import Announcement, Envelope, NotAReading, Uplink, all_envelopes
from ingest.errors import Undecodable
from ingest.explain import Explainer
from ingest.message import Message
from ingest.one_device import OneDevice
from ingest.pins import WrongPin
from ingest.profile import Profile, load_profiles, load_tested
from ingest.profile_check import Checker, falling_counters, implausible, misnamed
from ingest.profile_draft import Draft, NoDraft, Sample, by_model, draft
from ingest.units import converter
from misto.cli.decode import recorded_in, refuse
from misto.near import hint
from misto.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="Device profiles: which field of a model is which metric.", no_args_is_help=True)
    group.command("new")(new)
    group.command("test")(test)
    group.command("list")(list_command)
    group.command("show")(show)
    app.add_typer(group, name="profile")


def new(
    files: Annotated[
        list[Path], typer.Argument(help="payloads, or recorded messages a line each; - reads standard input")
    ],
    topic: Annotated[str | None, typer.Option(help="topic of messages whose file does not tell it")] = None,
    model: Annotated[str | None, typer.Option(help="only messages of this model name")] = None,
    profile_id: Annotated[
        str | None, typer.Option("--id", help="id of the profile; else made of the model name")
    ] = None,
    field: Annotated[
        list[str] | None, typer.Option(help="what a field is, as odd_power=power_w:kW or valve=lid_open; any number")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="file to write, or a folder for a file each model; else standard output")
    ] = None,
) -> None:
    """Draft a profile from recorded messages. The more messages, the better it tells registers from other values.

    Fields that are sure are mapped; the others stand beside them as comments with the values that were seen.
    Identifiers are replaced: look through them all the same before you publish it.
    """
    settings = Settings()
    zone = ZoneInfo(settings.time_zone)
    chosen = dict(map(_chosen, field or []))
    envelopes, profiles = all_envelopes(zone), load_profiles(settings.profiles_dir, zone)
    samples = _samples(files, topic, envelopes, settings, zone)
    groups = by_model(samples)
    if model is not None:
        known = [name for _, name, _ in groups]
        groups = {key: group for key, group in groups.items() if key[1] == model}
        if not groups:
            refuse(f"no message is of the model {model!r}{hint(model, known)}; there are {_named(known)}")
    if not groups:
        refuse("none of the messages has fields that a profile could map; `misto decode` says why")
    into = out if out is not None and out.is_dir() else None
    if len(groups) > 1 and into is None:
        known = [name for _, name, _ in groups]
        refuse(f"the messages are of {len(groups)} models ({_named(known)}): choose one with --model, or name a folder "
               "with --out")  # fmt: skip
    if len(groups) > 1 and profile_id is not None:
        refuse("--id names one profile: choose a model with --model")
    failed = False
    for (_, name, _), group in groups.items():
        _say_known(group, profiles)
        try:
            drafted = draft(group, profiles, envelopes, profile_id=profile_id, chosen=chosen)
        except (NoDraft, FileProblems) as error:
            print(f"misto: {name + ': ' if name else ''}{error}", file=sys.stderr)
            failed = True
            continue
        _write(drafted, out if into is None else into / f"{drafted.id}.yaml")
        profiles[drafted.id] = drafted.profile
        failed |= bool(drafted.problems)
    if failed:
        raise typer.Exit(1)


def test(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE|DIR...", help="profile files, or folders of them")],
) -> None:
    """Check profile files: what they say, every example, and that they fit among all other profiles."""
    settings = Settings()
    zone = ZoneInfo(settings.time_zone)
    for path in paths:
        if not path.exists():
            refuse(f"{path}: there is no such file or folder")
    tested = load_tested(paths, settings.profiles_dir, zone)
    problems = set(tested.problems)
    checker = Checker(tested.profiles, all_envelopes(zone), time.time_ns() // 1000)
    for name, document in tested.documents.items():
        found = _examine(checker, tested.profiles[name], document)
        problems.update(found)
        if not found:
            examples = len(tested.profiles[name].file.examples)
            replaced = "; it replaces the shipped one" if name in tested.replacing else ""
            print(f"{document.name}: {name}: well, {examples} example{'' if examples == 1 else 's'}{replaced}")
    for problem in sorted(problems, key=lambda problem: (problem.file, problem.line or 0)):
        print(problem)
    if not tested.documents and not problems:
        refuse("there is no profile file (*.yaml) there")
    if problems:
        raise typer.Exit(1)


def list_command(
    word: Annotated[str | None, typer.Argument(help="only those with this in id, maker, model, kind or format")] = None,
) -> None:
    """The profiles that there are, shipped and the city's own."""
    settings = Settings()
    profiles = load_profiles(settings.profiles_dir, ZoneInfo(settings.time_zone))
    rows = []
    for profile in profiles.values():
        file = profile.file
        row = (profile.id, file.kind, ", ".join(file.envelopes), f"{file.maker} {file.model}")
        if word is None or word.lower() in " ".join(row).lower():
            rows.append(row)
    if not rows:
        print(f"misto: no profile has {word!r} in it{hint(word or '', profiles)}", file=sys.stderr)
        raise typer.Exit(1)
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in sorted(rows):
        print("  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3])))


def show(profile_id: Annotated[str, typer.Argument(metavar="ID", help="as `misto profile list` shows it")]) -> None:
    """One profile, with everything that it takes over from its parent and blocks."""
    settings = Settings()
    profiles = load_profiles(settings.profiles_dir, ZoneInfo(settings.time_zone))
    if profile_id not in profiles:
        refuse(f"there is no profile {profile_id!r}{hint(profile_id, profiles)}; `misto profile list` lists them")
    file = profiles[profile_id].file
    print(f"{profile_id}: {file.maker} {file.model}, {file.kind}")
    print(f"  formats:      {', '.join(profiles[profile_id].envelopes)}")
    print(f"  described in: {file.documentation}")
    told = file.recognise
    names = f"the model name has {' or '.join(told.names)}" if told.names else ""
    family = f" and the model name has {' or '.join(told.family)}" if told.family else ""
    fields = f"there are the fields {', '.join(told.fields)}{family}" if told.fields else ""
    print(f"  recognised:   {'; or '.join(filter(None, (names, fields))) or 'never: the inventory names it'}")
    if file.extends or file.blocks:
        print(f"  taken from:   {', '.join(filter(None, (file.extends, *file.blocks)))}")
    _print_fields("", file.fields)
    for name, series in file.series.items():
        print(f"  list {name}, each item with its time {series.time}")
        _print_fields("  ", series.fields)
    for condition in file.suspect_if:
        limits = {"equals": condition.equals, "below": condition.below, "above": condition.above}
        how = " or ".join(f"{key} {value}" for key, value in limits.items() if value not in (None, []))
        print(f"  suspect if {condition.field} {how}: {', '.join(condition.metrics)}")
    if file.ignored:
        print(f"  ignored: {', '.join(file.ignored)}")
    if file.codec:
        print(f"  reads bytes itself, as {', '.join(file.codec)}")
    for quirk in file.quirks:
        print(f"  mind: {quirk}")


def _print_fields(indent: str, fields: Any) -> None:
    for name, spec in fields.items():
        extra = spec.model_dump(exclude_defaults=True, exclude={"metric", "unit"})
        keys = "  " + ", ".join(f"{key}: {value}" for key, value in extra.items()) if extra else ""
        print(f"{indent}  {name:<28} {spec.unit or '':<8} → {spec.metric} ({metrics()[spec.metric].kind}){keys}")


def _examine(checker: Checker, profile: Profile, document: Document) -> list[Problem]:
    """Every mistake of one profile that could be loaded, at its line."""
    problems = [document.problem(place, told) for place, told in (*checker.clashes(profile), *misnamed(profile))]
    for index, example in enumerate(profile.file.examples):
        told = [*implausible(example), *falling_counters(example), *checker.example(profile, example)]
        problems += [document.problem(("examples", index), sentence) for sentence in told]
    return problems


def _chosen(text: str) -> tuple[str, dict[str, Any]]:
    name, equals, told = text.rpartition("=")
    metric, _, unit = told.partition(":")
    if not name or not equals or not metric:
        refuse(f"--field {text!r}: expected for example odd_power=power_w:kW")
    if metric not in metrics():
        refuse(
            f"--field {text!r}: there is no metric {metric!r}{hint(metric, metrics())} (docs/mqtt-json.md lists them)"
        )
    try:
        converter(metric, unit or None)
    except ValueError as error:
        refuse(f"--field {text!r}: {error}")
    return name, {"metric": metric, "unit": unit} if unit else {"metric": metric}


def _samples(
    files: list[Path], topic: str | None, envelopes: tuple[Envelope, ...], settings: Settings, zone: ZoneInfo
) -> list[Sample]:
    """Each device's part of each message; what cannot be opened is told."""
    try:
        explainer = Explainer(envelopes, {}, OneDevice(None, None), settings.envelopes)
    except WrongPin as error:
        refuse(str(error))
    samples: list[Sample] = []
    by_itself = 0
    for file in files:
        for recorded in recorded_in(file, topic):
            received_us = recorded.received_us or time.time_ns() // 1000
            message = Message(recorded.topic, recorded.payload, received_us, retained=recorded.retained)
            try:
                envelope, items = explainer.open(message)
            except (Undecodable, NotAReading) as error:
                print(f"misto: {file}, line {recorded.line}: left out: {error}", file=sys.stderr)
                continue
            uplinks = [item for item in items if isinstance(item, Uplink)]
            if not uplinks and any(isinstance(item, Announcement) for item in items):
                print(f"misto: {file}, line {recorded.line}: left out: it only tells about devices", file=sys.stderr)
            by_itself += sum(uplink.metrics is not None for uplink in uplinks)
            samples += [Sample(message, envelope, uplink) for uplink in uplinks if uplink.metrics is None]
    if by_itself:
        print(f"misto: {by_itself} parts need no profile: their format says what is what", file=sys.stderr)
    return samples


def _say_known(group: list[Sample], profiles: dict[str, Profile]) -> None:
    """Tell of profiles that read these messages already."""
    explainer = Explainer([group[0].envelope], profiles, OneDevice(None, None))
    for name in dict.fromkeys(explainer.profile_of(sample.envelope.name, sample.uplink) for sample in group):
        if name and not profiles[name].file.recognise.general:
            print(f"misto: the profile {name} reads such messages already; see `misto profile show {name}`",
                  file=sys.stderr)  # fmt: skip


def _write(drafted: Draft, out: Path | None) -> None:
    if out is None:
        print(drafted.text, end="")
    else:
        try:
            with out.open("x", encoding="utf-8") as file:
                file.write(drafted.text)
        except FileExistsError:
            refuse(f"{out} is there already; it is not overwritten")
        except OSError as error:
            refuse(f"{out} cannot be written: {error.strerror}")
        print(f"{out}: {drafted.sure} fields mapped, {drafted.unsure} left for you to look at", file=sys.stderr)
    for note in dict.fromkeys(drafted.notes):
        print(f"misto: {note}", file=sys.stderr)
    for problem in drafted.problems:
        print(f"misto: the draft does not hold yet: {problem}", file=sys.stderr)


def _named(names: list[str]) -> str:
    return ", ".join(sorted({name or "without a name" for name in names}))
