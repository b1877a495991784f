"""A made-up city in the database, as ingest, rules and keeper would leave it: for the tests of the pages."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from catalogue.inventory import Inventory
from store.registry import register_unclaimed, sync_inventory

HOUR = timedelta(hours=1)

_BUILDINGS = [
    ("Lyceum 5", "Ліцей № 5", "school", "12 Halytska St", "вул. Галицька, 12"),
    ("City Hall", "Міська рада", "office", "21 Hrushevskoho St", "вул. Грушевського, 21"),
    ("Kindergarten “Sunflower”", "Дитячий садок «Соняшник»", "kindergarten", "4 Symonenka St", "вул. Симоненка, 4"),
    ("Central Library", "Центральна бібліотека", "library", "8 Nezalezhnosti St", "вул. Незалежності, 8"),
    ("Children's Hospital", "Дитяча лікарня", "hospital", "132 Konovaltsia St", "вул. Коновальця, 132"),
    ("Swimming Pool “Wave”", "Басейн «Хвиля»", "sport", "3 Mazepy St", "вул. Мазепи, 3"),
]
_STREETS = [
    ("Nezalezhnosti", "Незалежності"),
    ("Halytska", "Галицька"),
    ("Bandery", "Бандери"),
    ("Tychyny", "Тичини"),
    ("Vovchynetska", "Вовчинецька"),
]
_FRACTIONS = ["mixed", "paper", "plastic", "glass", "bio"]
_PER_HOUR = {"electricity": 9.0, "heat": 22.0, "gas": 1.4, "water": 0.35}
_METRIC = {"electricity": 1, "heat": 1, "gas": 24, "water": 25}


def inventory(buildings: int = 3, bins: int = 6) -> Inventory:
    """The city's inventory: four meters a building (gas only in every third), four bins a stand."""
    sites: list[dict[str, Any]] = []
    for n in range(buildings):
        en, uk, use, street_en, street_uk = _BUILDINGS[n % len(_BUILDINGS)]
        more = f" ({n // len(_BUILDINGS) + 1})" if n >= len(_BUILDINGS) else ""
        kinds = ["electricity", "heat", "water"] + (["gas"] if n % 3 == 0 else [])
        sites.append(
            {
                "id": f"building-{n}",
                "kind": "building",
                "name": {"en": en + more, "uk": uk + more},
                "use": use,
                "address": {"en": street_en, "uk": street_uk},
                "zone": ["centre", "north"][n % 2],
                "latitude": 48.92 + n / 1000,
                "longitude": 24.71,
                "floor_area_m2": 1200 + 350 * n,
                "points": [
                    {"id": f"building-{n}-{kind}", "kind": kind, "devices": [{"address": f"meter-{n}-{kind}"}]}
                    for kind in kinds
                ],
            }
        )
    for n in range(math.ceil(bins / 4)):
        en, uk = _STREETS[n % len(_STREETS)]
        sites.append(
            {
                "id": f"stand-{n}",
                "kind": "stand",
                "name": {"en": f"Stand {n + 1}, {en} St", "uk": f"Майданчик {n + 1}, вул. {uk}"},
                "zone": ["centre", "north"][n % 2],
                "latitude": 48.93,
                "longitude": 24.70 + n / 1000,
                "points": [
                    {
                        "id": f"stand-{n}-{index}",
                        "kind": "bin",
                        "interval": "30m",
                        "fraction": _FRACTIONS[(n + index) % 5],
                        "contractor": ["clean", "green"][n % 2],
                        "bin": {"empty_mm": 1500, "full_mm": 300, "volume_l": 1100},
                        "devices": [{"address": f"bin-{n}-{index}", "profile": "milesight-em400-mud"}],
                    }
                    for index in range(min(4, bins - 4 * n))
                ],
            }
        )
    return Inventory.model_validate(
        {
            "version": 1,
            "city": {
                "name": {"en": "Ivano-Frankivsk", "uk": "Івано-Франківськ"},
                "latitude": 48.92,
                "longitude": 24.71,
            },
            "zones": [
                {"id": "centre", "name": {"en": "Centre", "uk": "Центр"}},
                {"id": "north", "name": {"en": "North", "uk": "Північ"}},
            ],
            "contractors": [
                {"id": "clean", "name": {"en": "Clean City", "uk": "Чисте місто"}},
                {"id": "green", "name": {"en": "Green Yard", "uk": "Зелене подвір'я"}},
            ],
            "tariffs": [
                {"kind": kind, "price": price, "valid_from": "2020-01-01"}
                for kind, price in (("electricity", 7.5), ("heat", 2.1), ("gas", 16.4), ("water", 32.0))
            ],
            "sites": sites,
        }
    )


def _copy(connection: psycopg.Connection[Any], table: str, rows: Iterable[Sequence[Any]]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def build_city(connection: psycopg.Connection[Any], *, buildings: int = 3, bins: int = 6, days: int = 62) -> None:
    """Inventory, `days` of consumption, 15 days of fill levels with emptyings, and living services. No alerts yet."""
    sync_inventory(connection, inventory(buildings, bins))
    dice = random.Random(7)
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    points = connection.execute("SELECT point_id, code, kind FROM point ORDER BY point_id").fetchall()
    hourly, readings, latest, collections, forecasts = [], [], [], [], []
    for point_id, _, kind in points:
        if kind != "bin":
            size = dice.uniform(0.5, 2)
            for back in range(days * 24):
                at = hour - back * HOUR
                work = 1.0 if 6 <= (at.hour + 2) % 24 <= 18 and at.weekday() < 5 else 0.35
                amount = _PER_HOUR[kind] * size * work * dice.uniform(0.8, 1.2)
                hourly.append((at, point_id, _METRIC[kind], amount, 0))
            if kind == "electricity":
                for back in range(4 * 48):
                    at = now - back * timedelta(minutes=15)
                    readings.append((at, point_id, 9, 230 + 9 * math.sin(back / 9) + dice.uniform(-2, 2), 0))
            continue
        rate, level, at = dice.uniform(0.4, 2.4), dice.uniform(5, 80), now - timedelta(days=15)
        while at <= now:
            level = min(100.0, level + rate / 2 * dice.uniform(0.4, 1.6))
            if level > 88 and dice.random() < 0.08:
                collections.append((point_id, at, level, 4.0))
                level = 4.0
            readings.append((at, point_id, 30, level, 0))
            at += timedelta(minutes=30)
        latest += [(point_id, 30, now, level, 0, now), (point_id, 40, now, 7.5, 0, now)]
        latest.append((point_id, 50, now, dice.uniform(25, 100), 0, now))
        latest.append((point_id, 32, now, 0.0, 0, now))
        left = (100 - level) / rate
        forecasts.append((point_id, now, rate, now + left * HOUR, now + 0.8 * left * HOUR, now + 1.3 * left * HOUR))
    _copy(connection, "consumption_hourly", hourly)
    _copy(connection, "readings (time, point_id, metric_id, value, quality)", readings)
    _copy(connection, "point_latest", latest)
    _copy(connection, "collection", collections)
    _copy(connection, "bin_forecast", forecasts)
    connection.execute(
        "INSERT INTO device_status (device_id, last_received_at, last_event_at, message_count)"
        " SELECT device_id, now(), now(), 100 FROM device"
    )
    for service in ("ingest", "rules", "keeper", "board"):
        heartbeat(connection, service)
    connection.execute("ANALYZE")


def heartbeat(connection: psycopg.Connection[Any], service: str, ago: timedelta = timedelta(0)) -> None:
    """The service was last alive that long ago."""
    connection.execute(
        "INSERT INTO service_heartbeat VALUES (%(s)s, 'worker', now() - %(ago)s - interval '3 hours', now() - %(ago)s)"
        " ON CONFLICT (service, worker) DO UPDATE SET beat_at = excluded.beat_at",
        {"s": service, "ago": ago},
    )


def point_id(connection: psycopg.Connection[Any], code: str) -> int:
    """The number of a point."""
    row = connection.execute("SELECT point_id FROM point WHERE code = %s", [code]).fetchone()
    assert row is not None
    return int(row[0])


_TEXTS = {
    "bin-overflowing": (
        "critical",
        "Bin overflowing", "Контейнер переповнений",
        "{where}: the bin has been full for 2 hours.", "{where}: контейнер повний уже 2 години.",
        "Send a lorry today.", "Замовте вивезення на сьогодні.",
        {"value": 100, "limit": 95, "when": {"threshold": {"metric": "fill_level_pct", "above": 95}}},
    ),
    "bin-nearly-full": (
        "warning",
        "Bin nearly full", "Контейнер майже повний",
        "{where}: the bin is 84% full.", "{where}: контейнер заповнений на 84%.",
        "Put it on tomorrow's round.", "Внесіть до завтрашнього маршруту.",
        {"value": 84.0, "limit": 80, "when": {"threshold": {"metric": "fill_level_pct", "above": 80}}},
    ),
    "water-night-flow": (
        "warning",
        "Water flows at night", "Витрата води вночі",
        "{where}: never less than 0.4 m³/h between 01:00 and 04:00.",
        "{where}: від 01:00 до 04:00 витрата не падала нижче 0,4 м³/год.",
        "Look for running toilets and open taps.", "Перевірте бачки та крани.",
        {"value": 0.4, "limit": 0.05, "when": {"night": {"metric": "water_m3", "window": "02:00-05:00"}}},
    ),
    "voltage-out-of-band": (
        "info",
        "Voltage out of band", "Напруга поза межами",
        "{where}: 254 V for 20 minutes.", "{where}: 254 В протягом 20 хвилин.",
        "Tell the grid operator.", "Повідомте оператора мережі.",
        {"value": 254.0, "limit": 253, "when": {"any": [{"threshold": {"metric": "voltage_v", "above": 253}}]}},
    ),
}  # fmt: skip


def raise_alert(
    connection: psycopg.Connection[Any],
    rule_id: str,
    code: str,
    *,
    ago: timedelta = timedelta(hours=3),
    resolved_ago: timedelta | None = None,
    title: str | None = None,
) -> int:
    """An alert as the rules write it; returns its number."""
    severity, title_en, title_uk, sentence_en, sentence_uk, advice_en, advice_uk, evidence = _TEXTS[rule_id]
    state = "firing" if resolved_ago is None else "resolved"
    place = connection.execute("SELECT site_name_en, site_name_uk FROM point_place WHERE code = %s", [code]).fetchone()
    assert place is not None
    row = connection.execute(
        """
        INSERT INTO alert_episode (rule_id, rule_hash, point_id, state, severity, breached_at, fired_at, resolved_at,
            title_en, title_uk, sentence_en, sentence_uk, advice_en, advice_uk, value, evidence)
        VALUES (%(rule)s, 'hash', %(point)s, %(state)s, %(severity)s, now() - %(ago)s,
            now() - %(ago)s + interval '10 min', now() - %(resolved)s::interval, %(title_en)s, %(title_uk)s,
            %(s_en)s, %(s_uk)s, %(a_en)s, %(a_uk)s, 1, %(evidence)s)
        RETURNING episode_id
        """,
        {
            "rule": rule_id,
            "point": point_id(connection, code),
            "state": state,
            "severity": severity,
            "ago": ago,
            "resolved": resolved_ago,
            "title_en": title or title_en,
            "title_uk": title or title_uk,
            "s_en": sentence_en.format(where=place[0]),
            "s_uk": sentence_uk.format(where=place[1]),
            "a_en": advice_en,
            "a_uk": advice_uk,
            "evidence": json.dumps(evidence),
        },
    ).fetchone()
    assert row is not None
    for number, (before, after) in enumerate((("pending", "firing"), ("firing", "resolved"))):
        if number == 0 or resolved_ago is not None:
            connection.execute(
                "INSERT INTO alert_transition (episode_id, from_state, to_state, severity, event_at, reason)"
                " VALUES (%s, %s, %s, %s, now() - %s, %s)",
                [row[0], before, after, severity, resolved_ago if number else ago, "confirmed by a reading"],
            )
    return int(row[0])


def some_alerts(connection: psycopg.Connection[Any]) -> list[int]:
    """Four open alerts, the last one taken over, and one that has ended."""
    made = [
        raise_alert(connection, "bin-overflowing", "stand-0-0", ago=timedelta(hours=2)),
        raise_alert(connection, "bin-nearly-full", "stand-1-0", ago=timedelta(minutes=50)),
        raise_alert(connection, "water-night-flow", "building-0-water", ago=timedelta(hours=7)),
        raise_alert(connection, "voltage-out-of-band", "building-1-electricity", ago=timedelta(hours=1)),
    ]
    connection.execute(
        "INSERT INTO alert_ack (episode_id, acked_by, note) VALUES (%s, 'Оксана', 'Телефоную в РЕМ')", [made[-1]]
    )
    raise_alert(connection, "bin-nearly-full", "stand-0-1", ago=timedelta(hours=30), resolved_ago=timedelta(hours=20))
    return made


def some_trouble(connection: psycopg.Connection[Any]) -> None:
    """Devices and messages that need somebody; addresses and topics as an enemy would choose them."""
    connection.execute(
        "UPDATE device_status SET last_received_at = now() - interval '2 days' WHERE device_id IN"
        " (SELECT device_id FROM device WHERE address IN ('bin-0-1', 'meter-1-water'))"
    )
    connection.execute(
        "UPDATE device_status SET unknown_fields = ARRAY['tamper', '<b>x</b>'] WHERE device_id IN"
        " (SELECT device_id FROM device WHERE address = 'bin-0-0')"
    )
    connection.execute(
        "UPDATE point_latest SET value = 11 WHERE metric_id = 50 AND point_id = %s", [point_id(connection, "stand-0-0")]
    )
    for address, kind in (
        ("24e124713c140099", "bin"),
        ('"><script>alert(1)</script>', "water"),
        ("a\u202eb: {", "electricity"),
    ):
        device = register_unclaimed(
            connection,
            address,
            profile="milesight-em400-mud" if kind == "bin" else None,
            kind=kind,
            guess={"envelope": "plain-json"},
        )
        connection.execute(
            "INSERT INTO device_status (device_id, last_received_at, message_count, envelope)"
            " VALUES (%s, now() - interval '4 min', 17, 'plain-json')",
            [device.device_id],
        )
        connection.execute(
            "INSERT INTO point_latest VALUES (%s, %s, now(), 61.5, 0, now())",
            [device.assignments[0].point_id, {"bin": 30, "water": 25, "electricity": 4}[kind]],
        )
    for number, (topic, payload, reason, detail) in enumerate(
        [
            ("misto/x/up", b"{oops", "not_json", "no JSON: Expecting property name at 1"),
            ("<img src=x onerror=alert(1)>", b"\xff\xfe\x00\x01", "not_json", "not UTF-8"),
            ("misto/meter-2-heat/up", b'{"energy_kwh": "NaN"}', "bad_value", "energy_kwh is not a finite number"),
            ("misto/meter-1-heat/up", "показ".encode(), "<script>alert(2)</script>", "a reason that no version knows"),
        ]
    ):
        connection.execute(
            "INSERT INTO quarantine (received_at, topic, payload, reason, detail, digest)"
            " VALUES (now() - %s, %s, %s, %s, %s, %s)",
            [timedelta(minutes=number), topic, payload, reason, detail, bytes([number])],
        )
