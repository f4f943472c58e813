"""Casso: organizations with users, tickets and payments, and what one sweep must make of them."""
import uuid
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from demo import masks
from demo.dataset import Dataset, Sweep
from demo.periods import UTC, cutoff, edges

NAME = "casso"
STORES = {"main": "postgresql", "sessions": "redis"}
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
LOG_ZONE = ZoneInfo("America/Chicago")  # activity_logs.happened_at has no zone: the application writes local time

ACCOUNT = "Account data"
SESSIONS = "Sessions and preferences"
TICKETS = "Tickets and communications"
ORGANISATION = "Organization record"
ACTIVITY = "Activity logs"
PAYMENTS = "Payment records"
RULES = (ACCOUNT, SESSIONS, TICKETS, ORGANISATION, ACTIVITY, PAYMENTS)

USER_DEPENDENTS = {"oauth_identities", "team_members"}
TICKET_DEPENDENTS = {"comments", "attachments", "email_messages", "survey_answers"}


def identifier(number):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{number}.casso.test"))


EXAMPLE = identifier("organisation-1-7")  # deleted 31 days ago, with payments


def canary(organisation, what, number=0):
    return f"CANARY-{organisation[:8]}-{what}-{number}"


def empty():
    data = Dataset()
    main = lambda name, *key, references=(): data.table(name, "main", *key, references=references)
    main("organisations", "id")
    main("organisation_settings", "organisation_id", references=[("organisation_id", "organisations")])
    main("users", "id", references=[("organisation_id", "organisations")])
    main("oauth_identities", "provider", "subject", references=[("user_id", "users")])
    main("teams", "id", references=[("organisation_id", "organisations")])
    main("team_members", "team_id", "user_id", references=[("team_id", "teams"), ("user_id", "users")])
    main("tickets", "id", references=[("organisation_id", "organisations"), ("assignee_id", "users")])
    main("comments", "id", references=[("ticket_id", "tickets"), ("parent_id", "comments"), ("author_id", "users")])
    main("attachments", "id", references=[("comment_id", "comments")])
    main("email_messages", "message_id", references=[("ticket_id", "tickets")])
    main("survey_answers", "ticket_id", references=[("ticket_id", "tickets")])
    main("activity_logs", "id")
    main("feature_usage", "id")
    main("payments", "id", references=[("organisation_id", "organisations")])
    main("refunds", "id", references=[("payment_id", "payments")])
    data.table("session:{tenant}:*", "sessions", "key")
    return data


# ---- generation ----

def add_user(data, now, organisation, deleted_at):
    number = data.next()
    user = data.add("users", id=identifier(f"user-{number}"), organisation_id=organisation, deleted_at=deleted_at,
                    name=canary(organisation, "users.name", number), email=canary(organisation, "users.email", number) + "@example.test",
                    password_hash=canary(organisation, "users.password", number), phone="+1 555 0177",
                    picture_key=canary(organisation, "users.picture", number), created_at=now - 900 * DAY, anonymized_at=None)
    data.add("oauth_identities", provider="github", subject=canary(organisation, "oauth", number), user_id=user["id"])
    return user


def add_ticket(data, organisation, user, deleted_at):
    ticket = data.add("tickets", id=data.next(), organisation_id=organisation, assignee_id=user["id"] if user else None,
                      subject=canary(organisation, "tickets.subject", data.serial), sender=canary(organisation, "tickets.sender"),
                      deleted_at=deleted_at)
    parent = None
    for n in range(3):  # a thread: each comment answers the one before
        comment = data.add("comments", id=data.next(), ticket_id=ticket["id"], parent_id=parent and parent["id"],
                           author_id=user["id"] if user else None, body=canary(organisation, "comments.body", n))
        parent = comment
        data.add("attachments", id=data.next(), comment_id=comment["id"], file_name=canary(organisation, "attachments.file_name", n),
                 storage_key=f"tickets/{ticket['id']}/{n}")
    data.add("email_messages", message_id=f"<{data.next()}@mail.example.test>", ticket_id=ticket["id"],
             headers=canary(organisation, "email_messages.headers"))
    data.add("survey_answers", ticket_id=ticket["id"], rating=4, feedback=canary(organisation, "survey_answers.feedback"))


def add_tickets(data, now, organisation, user):
    for deleted_at in (None, now - MINUTE, now - 29 * DAY, now - 30 * DAY + MINUTE, now - 30 * DAY - MINUTE, now - 31 * DAY,
                       now + 5 * DAY):
        add_ticket(data, organisation, user, deleted_at)


def add_logs(data, now, organisation):
    for n, at in enumerate(edges(now, 24, "months")):
        data.add("activity_logs", id=data.next(), organisation_id=organisation, actor=canary(organisation, "activity_logs.actor", n),
                 ip="198.51.100.9", action="sign-in", happened_at=at.astimezone(LOG_ZONE).replace(tzinfo=None))
        data.add("feature_usage", id=data.next(), organisation_id=organisation, page="/tickets", used_at_ms=int(at.timestamp() * 1000))


def add_sessions(data, now, organisation):
    for n, seen_at in enumerate((now - MINUTE, now - 30 * DAY + MINUTE, now - 30 * DAY - MINUTE, now - 90 * DAY)):
        data.add("session:{tenant}:*", key=f"session:{organisation}:{n}",
                 value={"seen_at": str(int(seen_at.timestamp())), "agent": canary(organisation, "session", n)})
    data.add("session:{tenant}:*", key=f"session:{organisation}:without", value={"agent": canary(organisation, "session", 9)})


def add_payments(data, now, organisation):
    for n, at in enumerate(edges(now, 7, "years")):
        payment = data.add("payments", id=data.next(), organisation_id=organisation, cents=4900, payer=canary(organisation, "payments.payer", n),
                           paid_at=at)
        if n % 2:
            data.add("refunds", id=data.next(), payment_id=payment["id"], cents=100, refunded_at=at + 10 * MINUTE)
        if n % 3 == 0:  # a later refund keeps its payment
            data.add("refunds", id=data.next(), payment_id=payment["id"], cents=100, refunded_at=min(at + 100 * DAY, now - MINUTE))


def generate(now, copies=4, seed=1):
    data = empty()
    number = 0
    scenarios = [(None, True), (now - MINUTE, True), (now + 10 * DAY, True), (now - 29 * DAY, True), (now - 30 * DAY + MINUTE, True),
                 (now - 30 * DAY - MINUTE, True), (now - 31 * DAY, True), (now - 31 * DAY, False), (now - 400 * DAY, False)]
    for copy in range(copies):
        for deleted_at, with_payments in scenarios:
            number += 1
            organisation = identifier(f"organisation-{seed}-{number}")
            data.add("organisations", id=organisation, name=canary(organisation, "organisations.name"), card_last4="4242",
                     billing_address=canary(organisation, "organisations.billing_address"), stripe_customer=canary(organisation, "stripe"),
                     created_at=now - 1000 * DAY, deleted_at=deleted_at)
            data.add("organisation_settings", organisation_id=organisation, support_address=canary(organisation, "settings.support"),
                     signature=canary(organisation, "settings.signature"), locale="en")
            team = data.add("teams", id=data.next(), organisation_id=organisation, name=canary(organisation, "teams.name"))
            users = [add_user(data, now, organisation, user_deleted) for user_deleted in (None, now - MINUTE, now - 90 * DAY, now + 3 * DAY)]
            for user in users:
                data.add("team_members", team_id=team["id"], user_id=user["id"])
            add_tickets(data, now, organisation, users[0])
            add_ticket(data, organisation, users[1], None)  # names a user who is deleted: that one stays, anonymized
            add_logs(data, now, organisation)
            add_sessions(data, now, organisation)
            if with_payments:
                add_payments(data, now, organisation)
    for gone in range(2):
        add_logs(data, now, identifier(f"gone-{gone}"))
    return data


# ---- the oracle ----

def close_user(row):
    row.update(name="Deleted user", email=masks.pseudonym(row["email"]), password_hash=None, phone=None, picture_key=None,
               anonymized_at=masks.some_time())


def close_organisation(row):
    row.update(name="Deleted organization", card_last4=None, billing_address=None, stripe_customer=None)


def close_settings(row):
    row.update(support_address=None, signature=None)


def expect(data, now):
    """A Sweep that was carried out: what must be left, and what went under which rule."""
    at_once, window = now, cutoff(now, 30, "days")
    over = lambda end, edge: end is not None and end <= now and end < edge
    ends = {row["id"]: row["deleted_at"] for row in data.rows("organisations")}
    deleted = {one for one, end in ends.items() if end is not None and end <= at_once}
    closed = {one for one, end in ends.items() if over(end, window)}
    logs = cutoff(now, 24, "months")
    payments = min(cutoff(now, 7, "years"), cutoff(now, 7, "years", round_up=True))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)

    def carry_out(sweep):
        tables = sweep.data.tables
        for identity, row in list(tables["tickets"].rows.items()):
            if over(row["deleted_at"], window) or row["organisation_id"] in closed:
                sweep.purge(TICKETS, "tickets", identity, TICKET_DEPENDENTS)
        for identity, row in list(tables["users"].rows.items()):
            if row["organisation_id"] in deleted or (row["deleted_at"] is not None and row["deleted_at"] <= at_once):
                if not sweep.purge(ACCOUNT, "users", identity, USER_DEPENDENTS):
                    sweep.anonymize(ACCOUNT, "users", identity, close_user, USER_DEPENDENTS)
        for identity, row in list(tables["session:{tenant}:*"].rows.items()):
            seen_at = row["value"].get("seen_at")
            old = seen_at is not None and epoch + timedelta(seconds=int(seen_at)) < window
            if old or row["key"].split(":")[1] in deleted:
                sweep.purge(SESSIONS, "session:{tenant}:*", identity)
        for identity, row in list(tables["activity_logs"].rows.items()):
            if row["happened_at"].replace(tzinfo=LOG_ZONE).astimezone(UTC) < logs:
                sweep.purge(ACTIVITY, "activity_logs", identity)
        for identity, row in list(tables["feature_usage"].rows.items()):
            if epoch + timedelta(milliseconds=row["used_at_ms"]) < logs:
                sweep.purge(ACTIVITY, "feature_usage", identity)
        for identity, row in list(tables["refunds"].rows.items()):
            if row["refunded_at"] < payments:
                sweep.purge(PAYMENTS, "refunds", identity)
        for identity, row in list(tables["payments"].rows.items()):
            if row["paid_at"] < payments:
                sweep.purge(PAYMENTS, "payments", identity)
        for identity in list(tables["organisations"].rows):
            if identity[0] in closed and not sweep.purge(ORGANISATION, "organisations", identity, {"teams", "organisation_settings"}):
                sweep.anonymize(ORGANISATION, "organisations", identity, close_organisation, {"teams"})
                settings = (identity[0],)
                if settings in tables["organisation_settings"].rows:
                    sweep.anonymize(ORGANISATION, "organisation_settings", settings, close_settings)

    return Sweep(data).until_settled(carry_out)
