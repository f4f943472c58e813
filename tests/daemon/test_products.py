"""Both published schedules, carried out by the real daemon on the real servers, judged record by record by the oracle."""
import json
import re
from collections import Counter

from demo import compare
from world import canaries


def test_one_sweep_does_what_the_policy_promises(product):
    answer = product.once()
    assert answer.returncode == 0, answer.stdout
    sweep, differences = product.compare()
    assert differences == []
    assert compare.compare_journal(sweep, product.journal.entries()) == []
    product.verify()


def test_the_plan_is_the_sweep(product):
    """What the plan says is ready is what the journal says went, rule by rule, and only what it says is blocked may join it:
    a customer is free once the last invoice is gone, in the same sweep."""
    plan = product.lapsectl("plan", "--json")
    assert plan.returncode == 0, plan.stderr
    ready, due = Counter(), Counter()
    for row in json.loads(plan.stdout)["rules"]:
        ready[row["rule"]] += row["ready"]
        due[row["rule"]] += row["due"]
    assert product.once().returncode == 0
    done = Counter()
    for rule, _target, records, _dependents in product.journal.committed():
        done[rule] += records
    assert due.keys() >= done.keys()
    for rule in due:
        assert ready[rule] <= done[rule] <= due[rule], rule
    assert any(ready[rule] == due[rule] > 0 for rule in due), "no rule without blocked records: the comparison is empty"


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
    assert product.journal.entries()[-1]["event"] == "stop"
    assert product.compare()[1] == []
