from __future__ import annotations

from pathlib import Path

from celeriac.up.log_lines import loud_lines, tail


def test_only_lines_that_somebody_should_see_are_shown() -> None:
    said = [
        "[2026-11-22 15:00:00,000: INFO/MainProcess] Task process received",
        # Its result holds the word; that the line is an error is said at its beginning.
        "[2026-11-22 15:00:00,000: INFO/MainProcess] Task process[1] succeeded: 'ERROR'",
        "[2026-11-22 15:00:00,000: ERROR/MainProcess] consumer: Cannot connect",
        "[2026-11-22 15:00:00,000: WARNING/ForkPoolWorker-1] printed by a task",
        "[2026-11-22 15:00:00,000: WARNING/ForkPoolWorker-1] text.shout[01a2-7b]: 0",
        "[2026-11-22 15:00:00,000: ERROR/ForkPoolWorker-1] text.shout[01a2-7b]: [1]: odd",
        # Of these somebody tells who knows what became of the task.
        "[2026-11-22 15:00:00,000: ERROR/ForkPoolWorker-1] Task a.b[1-2] raised unexpected: X()",
        "[2026-11-22 15:00:00,000: ERROR/MainProcess] a child died while it ran a task",
        "WARNING:  something odd",
        "INFO:     Application startup complete.",
    ]

    shown = loud_lines("worker", said, most=6, log=Path("worker.log"))

    assert [line.split(maxsplit=2)[1:] for line in shown] == [
        ["worker", "ERROR consumer: Cannot connect"],
        ["worker", "printed by a task"],
        ["task", "text.shout: 0"],
        ["task", "ERROR text.shout: [1]: odd"],
        ["worker", "WARNING:  something odd"],
    ]
    # What a task prints is nothing to be warned of.
    assert [line[0] for line in shown] == ["!", "!", "·", "!", "!"]


def test_of_a_flood_the_first_lines_and_a_count_are_shown() -> None:
    shown = loud_lines("web", ["ERROR: x"] * 12, most=5, log=Path("web.log"))

    assert len(shown) == 6
    assert shown[-1].endswith("7 more lines like these are in web.log")


def test_of_a_task_that_prints_a_lot_it_is_said_without_alarm_where_the_rest_stands() -> None:
    said = [
        f"[2026-11-22 15:00:00,000: WARNING/ForkPoolWorker-1] a.b[01a2-7b]: step {number}"
        for number in range(20)
    ]

    shown = loud_lines("worker", said, most=5, log=Path("worker.log"))

    assert [line[0] for line in shown] == ["·"] * 6
    assert shown[-2].endswith("a.b: step 4")
    assert shown[-1].endswith("15 more lines like these are in worker.log")


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("".join(f"line {number}\n" for number in range(5000)))

    assert tail(log, lines=2) == ["    line 4998", "    line 4999"]


def test_the_tail_of_a_traceback_leaves_out_what_tells_nothing(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text(
        "Traceback (most recent call last):\n"
        '  File "<frozen importlib._bootstrap>", line 1204, in _gcd_import\n'
        '  File "celery_app.py", line 11\n'
        "    this is no python\n"
        "               ^^^^^^\n"
        "SyntaxError: invalid syntax\n"
        "\n"
    )

    assert [line.strip() for line in tail(log)] == [
        "Traceback (most recent call last):",
        'File "celery_app.py", line 11',
        "this is no python",
        "SyntaxError: invalid syntax",
    ]


def test_the_tail_of_no_log_is_empty(tmp_path: Path) -> None:
    assert tail(tmp_path / "none.log") == []
