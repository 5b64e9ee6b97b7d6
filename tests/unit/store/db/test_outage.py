"""An outage is said once, however many meet it, and its end once."""

from structlog.testing import capture_logs

from orchestrator.store.db.outage import Outage


def test_outage_logs_its_start_and_end_once() -> None:
    with capture_logs() as said:
        outage = Outage()
        outage.end()
        for number in range(5):
            outage.begin(OSError(f"disk full {number}"))
        reasons = [outage.reason]
        outage.end()
        outage.end()
        reasons.append(outage.reason)
        outage.begin(TimeoutError())
    assert reasons == ["disk full 0", None]
    assert [(line["event"], line.get("message")) for line in said] == [
        ("database.unreachable", "disk full 0"),
        ("database.recovered", None),
        ("database.unreachable", "TimeoutError"),
    ]
