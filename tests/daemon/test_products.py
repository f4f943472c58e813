"""Both published schedules, carried out by the real daemon on the real servers, judged record by record by the oracle."""
import json
import re

from demo import compare
from world import canaries, planned_totals


def test_one_sweep_does_what_the_policy_promises(product):
    answer = product.once()
    assert answer.returncode == 0, answer.stdout
    sweep, differences = product.compare()
    assert differences == []
    assert compare.compare_journal(sweep, product.journal.entries()) == []
    product.verify()


def test_the_plan_is_the_sweep(product):
    """At one and the same time: what the plan says of each rule and stage is what the sweep says of it when it is over."""
    before, swept, after = product.plan_and_sweep()
    assert planned_totals(before) == swept
    assert before["kept"]["blocked"] == sum(row["blocked"] for row in swept.values())
    # Afterwards nothing is ready, and blocked are the same records by the same tables.
    assert {key: sum(row[key] for row in after["rules"]) for key in ("ready", "dependents")} == {"ready": 0, "dependents": 0}
    assert [row["blocked"] for row in after["rules"] if row["blocked"]] == [row["blocked"] for row in before["rules"] if row["blocked"]]


def test_a_second_sweep_changes_nothing(product):
    assert product.once().returncode == 0
    before, intents = product.snapshot(), len(product.journal.entries("intent"))
    assert product.once().returncode == 0
    assert product.snapshot() == before  # xmin included: no row was even rewritten
    assert len(product.journal.entries("intent")) == intents


def test_no_canary_gets_into_journal_log_state_or_messages(product):
    """Every personal field holds a token of its own: they live in the stores alone."""
    said = product.once().stdout
    for arguments in (["plan"], ["check"], ["status"], ["findings"], ["journal", "show"], ["plan", "--json"]):
        answer = product.lapsectl(*arguments)
        said += answer.stdout + answer.stderr
    files = "".join(path.read_text(errors="replace") for path in product.folder.rglob("*") if path.is_file())
    assert canaries(said + files) == set()
    # A canary of what was destroyed is nowhere.
    sweep, _ = product.compare()
    loaded = canaries(repr([table.rows for table in product.dataset.tables.values()]))
    expected_gone = loaded - canaries(repr([table.rows for table in sweep.data.tables.values()]))
    assert expected_gone and not expected_gone & canaries(product.personal_text())


def test_check_and_policy_agree_with_what_is_published(product):
    check = product.lapsectl("check")
    assert check.returncode == 0, check.stdout + check.stderr
    policy = product.lapsectl("policy")
    assert policy.returncode == 0, policy.stderr
    schedule = (product.folder / "schedule.conf").read_text()
    for name in re.findall(r'data\s*= "([^"]+)"', schedule):
        assert name in policy.stdout


def test_policy_of_caasaas_is_the_published_table(caasaas):
    published = compare.stores.HERE.parent / "etc" / "caasaas" / "policy.md"
    answer = caasaas.lapsectl("policy", "--diff", str(published))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    changed = caasaas.folder / "policy.md"
    changed.write_text(published.read_text().replace("| 7 years |", "| 6 years |"))
    answer = caasaas.lapsectl("policy", "--diff", str(changed))
    assert answer.returncode == 1 and "Billing Records" in answer.stdout
    lines = caasaas.lapsectl("policy", "--format", "markdown").stdout
    for row in published.read_text().splitlines()[4:]:
        name, _period, basis = [cell.strip() for cell in row.strip("|").split("|")]
        assert name in lines and basis in lines


def test_usr1_sweeps_while_the_window_is_closed(product):
    daemon = product.start()
    assert product.journal.entries("sweep-begin") == []
    end = daemon.sweep()
    assert end["outcome"] == "done"
    assert daemon.stop() == 0
    assert product.journal.entries()[-2]["event"] == "stop"  # its checkpoint comes last
    assert product.compare()[1] == []
