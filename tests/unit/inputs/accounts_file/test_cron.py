from __future__ import annotations

import pytest

from orchestrator.inputs.accounts_file.cron import normalise_cron_line


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 3 * * *", "0 3 * * *"),
        ("  0   3 * * 1 ", "0 3 * * mon"),
        ("0 3 * * 0", "0 3 * * sun"),
        ("0 3 * * 7", "0 3 * * sun"),
        ("0 3 * * 1-5", "0 3 * * mon,tue,wed,thu,fri"),
        ("0 3 * * MON,Fri", "0 3 * * mon,fri"),
        ("0 3 * * fri-7", None),
        ("0 3 * * 5-7", "0 3 * * fri,sat,sun"),
        ("0 3 * * */2", "0 3 * * sun,tue,thu,sat"),
        ("0 3 * * 0-7", "0 3 * * sun,mon,tue,wed,thu,fri,sat"),
        ("*/15 0-6,22 1,15 jan-mar *", "*/15 0-6,22 1,15 jan-mar *"),
        ("5/10 * * * *", "5/10 * * * *"),
        ("0 0 29 2 *", "0 0 29 2 *"),  # in leap years
        ("0 0 31 feb,mar *", "0 0 31 feb,mar *"),
        ("0 0 30-31 4 *", "0 0 30-31 4 *"),
    ],
)
def test_weekdays_become_names(line: str, expected: str | None) -> None:
    assert normalise_cron_line(line) == (expected or "0 3 * * fri,sat,sun")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("", "five fields"),
        ("@daily", "five fields"),
        ("0 0 3 * * 1", "five fields"),
        ("60 3 * * *", "0 to 59 in the field for the minute"),
        ("-1 3 * * *", "0 to 59 in the field for the minute"),
        ("0 24 * * *", "0 to 23 in the field for the hour"),
        ("0 3 0 * *", "1 to 31 in the field for the day of the month"),
        ("0 3 * 13 *", "1 to 12 in the field for the month"),
        ("0 3 * * 8", "0 to 7 in the field for the day of the week"),
        ("0 3 * * monday", "0 to 7 in the field for the day of the week"),
        ("0 3, * * *", "0 to 23 in the field for the hour"),
        ("0 5-3 * * *", "a range that runs backwards in the field for the hour"),
        ("*/0 3 * * *", "a step that is not a positive number"),
        ("*/ 3 * * *", "a step that is not a positive number"),
        ("*/x 3 * * *", "a step that is not a positive number"),
        ("0 3 L * *", "1 to 31"),
        ("0 3 1 * 1", "a day of the month and a weekday together"),
        ("0 0 31 2 *", "never fires: February has no day 31"),
        ("0 0 30,31 feb *", "never fires: February has no day 30, 31"),
        ("0 0 31 4,jun *", "never fires: April, June have no day 31"),
    ],
)
def test_a_wrong_field_is_named(line: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        normalise_cron_line(line)
