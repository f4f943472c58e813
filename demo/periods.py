"""Calendar arithmetic of the retention rules, written apart from the daemon's, by another method.

An anchor is due when anchor + period <= now. Months are added in the UTC calendar and clamped to the month's end.
Stores compare anchors with one exclusive cutoff: the smallest anchor that is not due."""
import calendar
from datetime import datetime, time, timedelta, timezone

UTC = timezone.utc
MICROSECOND = timedelta(microseconds=1)


def _day_after_months(day, months, round_up):
    number = day.year * 12 + day.month - 1 + months
    year, month = divmod(number, 12)
    last = calendar.monthrange(year, month + 1)[1]
    if day.day <= last:
        return day.replace(year=year, month=month + 1)
    clamped = day.replace(year=year, month=month + 1, day=last)
    return clamped + timedelta(days=1) if round_up else clamped


def cutoff(now, count, unit, round_up=False):
    """The smallest anchor t with t + period > now. round_up: "at least" periods, whose missing day is the next month's first."""
    if unit == "days":
        return now - timedelta(days=count) + MICROSECOND
    months = count * 12 if unit == "years" else count
    # Day by day: on a later day than today's the whole anchor day is late enough, on today's the time of day decides.
    day = (now - timedelta(days=months * 31 + 5)).date()
    while True:
        lands_on = _day_after_months(day, months, round_up)
        if lands_on > now.date():
            return datetime.combine(day, time(), UTC)
        if lands_on == now.date() and now.time() < time.max:
            return datetime.combine(day, now.time(), UTC) + MICROSECOND
        day += timedelta(days=1)


def edges(now, count, unit):
    """Anchors on both sides of a period: far off, a minute to either side, and the last days of the months around."""
    edge = cutoff(now, count, unit)
    anchors = [edge - timedelta(days=400), edge - timedelta(days=1), edge - timedelta(minutes=1),
               edge + timedelta(minutes=1), edge + timedelta(days=1), now - timedelta(hours=3)]
    first = edge.replace(day=1, hour=12, minute=0, second=0, microsecond=0)
    anchors += [first - timedelta(days=days) for days in (1, 2, 3)]
    return anchors
