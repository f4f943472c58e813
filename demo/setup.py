"""Makes a product's lapsed.conf for private servers, and gives the daemon's user what `lapsectl grants` prints."""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import psycopg2
import pymongo
import redis

from demo import stores
from demo.load import product

REPOSITORY = Path(__file__).resolve().parent.parent


def url(environment, kind, database, redis_number, user="lapsed"):
    """A store's URL for this user as it stands in a lapsed.conf: without a password."""
    address = environment[f"LAPSED_TEST_{kind.upper()}"].replace("://lapsed@", f"://{user}@")
    if kind == "redis":
        return address.rsplit("/", 1)[0] + f"/{redis_number}"
    return re.sub(r"/test(?=$|\?)", f"/{database}", address)


def user_of(database):
    """The daemon's user for a product: its own, so that it has nothing but what `lapsectl grants` printed for it."""
    return f"lapsed_{database}"


def product_url(environment, kind, database, redis_number, admin):
    if admin:
        return url(environment, kind, database, redis_number, "default" if kind == "redis" else "admin")
    # The user of MongoDB is made in the product's own database.
    return url(environment, kind, database, redis_number, user_of(database)).replace("authSource=admin&", "")


def passwords(environment, module, admin=False):
    """The variables that carry the stores' passwords to lapsed and lapsectl."""
    admin_password = re.search(r"://admin:([^@]+)@", environment["LAPSED_TEST_POSTGRESQL_ADMIN"]).group(1)
    return {f"LAPSED_{store.upper()}_PASSWORD": admin_password if admin else environment["LAPSED_TEST_PASSWORD"]
            for store in module.STORES}


def write_configuration(name, folder, environment, redis_number=0, database=None, settings="", schedule=None, admin=False):
    """FOLDER/lapsed.conf with the stores of `environment` and the tenants query of etc/NAME, and its schedule.conf."""
    folder.mkdir(parents=True, exist_ok=True)
    published = REPOSITORY / "etc" / name
    tenants = re.search(r"^tenants = \{.*?^\};\n", (published / "lapsed.conf").read_text(), re.DOTALL | re.MULTILINE).group(0)
    strays = "".join(f'  {{ keys = "{keys}"; why = "{why}"; }},\n' for keys, why in getattr(product(name), "STRAY_KEYS", {}).items()).rstrip(",\n")
    lines = [f'  {store} = {{ url = "{product_url(environment, kind, database or name, redis_number, admin)}"; }};'
             for store, kind in product(name).STORES.items()]
    config = folder / ("admin.conf" if admin else "lapsed.conf")
    config.write_text("stores = {\n" + "\n".join(lines) + "\n};\n" + tenants + (f"exempt = (\n{strays}\n);\n" if strays else "") +
                      'journal = { folder = "journal"; };\nstate = "state";\nrun = "run";\n' + settings + 'schedule = "schedule.conf";\n')
    if schedule is not None:
        (folder / "schedule.conf").write_text(schedule)
    else:
        shutil.copy(published / "schedule.conf", folder / "schedule.conf")
    return config


def grant(lapsectl, name, folder, environment, redis_number=0, database=None):
    """Asks `lapsectl grants` as an administrator, and executes exactly what it prints for a new user."""
    module, database = product(name), database or name
    config = write_configuration(name, folder, environment, redis_number, database, admin=True,
                                 schedule=(folder / "schedule.conf").read_text())
    command = [str(lapsectl), "grants", "-c", str(config), "--role", user_of(database), "--json"]
    answer = subprocess.run(command, text=True, check=True, stdout=subprocess.PIPE,
                            env={**os.environ, **passwords(environment, module, admin=True)})
    for one in json.loads(answer.stdout):
        kind = module.STORES[one["store"]]
        {"postgresql": grant_postgresql, "mongodb": grant_mongodb, "redis": grant_redis}[kind](one["grants"], environment, database)


def grant_postgresql(text, environment, database):
    connection = psycopg2.connect(stores.postgresql_url(environment, database))
    with connection, connection.cursor() as cursor:
        cursor.execute(f'CREATE ROLE "{user_of(database)}" LOGIN PASSWORD %s', (environment["LAPSED_TEST_PASSWORD"],))
        cursor.execute(text)
    connection.close()


def grant_mongodb(text, environment, database):
    """The statements are mongosh's: db.COMMAND(JSON), where the password is asked for."""
    text = text.replace("passwordPrompt()", json.dumps(environment["LAPSED_TEST_PASSWORD"]))
    with pymongo.MongoClient(environment["LAPSED_TEST_MONGODB_ADMIN"]) as client:
        for command, argument in re.findall(r"^db\.(createRole|createUser)\((\{.*?\})\);$", text, re.DOTALL | re.MULTILINE):
            values = json.loads(argument)
            client[database].command(command, values.pop("role" if command == "createRole" else "user"), **values)


def grant_redis(text, environment, _database):
    with redis.Redis.from_url(environment["LAPSED_TEST_REDIS_ADMIN"]) as client:
        for line in text.splitlines():
            if line.startswith("ACL "):
                client.execute_command(*line.replace(">PASSWORD", ">" + environment["LAPSED_TEST_PASSWORD"]).split())


def revoke(environment, database):
    """Removes the user from all servers, after its database is gone."""
    connection = psycopg2.connect(stores.postgresql_url(environment, "postgres"))
    with connection, connection.cursor() as cursor:
        cursor.execute(f'DROP ROLE IF EXISTS "{user_of(database)}"')
    connection.close()
    with pymongo.MongoClient(environment["LAPSED_TEST_MONGODB_ADMIN"]) as client:
        client[database].command("dropAllUsersFromDatabase")
        client[database].command("dropAllRolesFromDatabase")
    with redis.Redis.from_url(environment["LAPSED_TEST_REDIS_ADMIN"]) as client:
        client.execute_command("ACL", "DELUSER", user_of(database))
